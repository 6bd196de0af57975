"""In which order the loop does things: slots first, then the books; and trials asked for ahead of their time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.packing import CostModel
from pipeline.ports import PackResult, Slot
from pipeline.runner import Limits, Runner
from pipeline.search.searcher import OptunaSearcher
from pipeline.segments import read_segment, segment_paths
from pipeline.trial import Trial
from tests.fakes_work import PlantedWork
from tests.test_runner import NoTracker, assert_complete, declare, run


class TwoSlots:
    """Ends packs in the order they came, all at once, and notes how many were on record when each was submitted."""

    def __init__(self, folder) -> None:
        self.slots = (Slot("a"), Slot("b"))
        self._folder = folder
        self._packs: list[tuple[Trial, ...]] = []
        self.recorded_at: list[int] = []

    def idle(self) -> int:
        return 2 - len(self._packs)

    def next_slot(self) -> Slot:
        return self.slots[len(self._packs)]

    def submit(self, trials: Sequence[Trial], seconds: float = math.inf) -> None:
        self.recorded_at.append(len(segment_paths(self._folder)))
        self._packs.append(tuple(trials))

    def wait(self, timeout: float) -> list[PackResult]:
        if timeout == 0.0:  # packs take longer than nothing
            return []
        packs, self._packs = self._packs, []
        done = zip(packs, self.slots, strict=False)
        return [PackResult(pack, slot, 0, 1000, PlantedWork().run(pack, slot)) for pack, slot in done]

    def close(self) -> None:
        return


def two_slots(study, folder) -> tuple[Runner, TwoSlots]:
    executor = TwoSlots(folder)
    searcher = OptunaSearcher(
        f"journal:{folder}/optuna.journal", study.name, study.space, study.sampler, study_seed=study.seed
    )
    cost = CostModel(((64, 1.0),), measured=True)
    limits = Limits(2**30)
    runner = Runner(
        study, folder, searcher, executor, NoTracker(), limits=limits, costs={"cpu": cost}, on_progress=lambda _: None
    )
    return runner, executor


def test_slots_go_on_before_the_results_of_their_packs_are_kept(tmp_path):
    study = declare(budget={"trials": 200})
    runner, executor = two_slots(study, tmp_path)
    runner.recover()
    runner.run()
    assert_complete(study, tmp_path)
    # the third and fourth pack start while nothing is on record, the fifth when two packs are at most
    assert executor.recorded_at[:4] == [0, 0, 0, 0]
    assert executor.recorded_at[4] <= 2


def test_an_adaptive_sampler_is_told_before_it_is_asked(tmp_path):
    study = declare(sampler={"type": "tpe"}, budget={"trials": 80})
    runner, executor = two_slots(study, tmp_path)
    runner.recover()
    runner.run()
    assert_complete(study, tmp_path)
    assert executor.recorded_at[:4] == [0, 0, 2, 2]


def test_what_was_asked_for_beyond_a_smaller_budget_waits_for_a_larger_one(tmp_path):
    large = declare(budget={"trials": 400})
    runner, _ = two_slots(large, tmp_path)
    runner.recover()
    runner._ask_for_a_pack(runner.speeds.of("cpu"))
    runner._ask_for_a_pack(runner.speeds.of("cpu"))
    asked = runner._asked
    small = declare(budget={"trials": asked - 8})
    assert run(small, tmp_path).new == asked - 8
    numbers = [record.number for path in segment_paths(tmp_path) for record in read_segment(path)]
    assert sorted(numbers) == list(range(asked - 8))
    assert run(declare(budget={"trials": asked + 8}), tmp_path).new == 16
    assert_complete(declare(budget={"trials": asked + 8}), tmp_path)
