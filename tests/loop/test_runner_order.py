"""In which order the loop does things: slots first, then the books; and trials asked for ahead of their time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from gradstab.loop.packing import pack_bytes
from gradstab.loop.ports import PackResult, Slot
from gradstab.loop.runner import Runner, RunSettings
from gradstab.loop.trial import Trial
from gradstab.record.failure import Failure
from gradstab.record.segments import read_segment, segment_index, segment_paths, write_segment
from gradstab.record.trajectory import Trajectory
from gradstab.study.recipe import Recipe
from tests.fakes import NoTracker
from tests.fakes_work import PlantedWork
from tests.journal_searcher import open_journal_searcher
from tests.loop.planted_costs import cost_taking
from tests.loop.test_runner import assert_complete, declare, recorded, run, stored


class TwoSlots:
    """Ends packs in the order they came, all at once, and notes how many were on record when each was submitted."""

    def __init__(self, folder) -> None:
        self.slots = (Slot("a"), Slot("b"))
        self._folder = folder
        self._packs: list[tuple[Trial, ...]] = []
        self.recorded_at: list[int] = []
        self.patience: list[float] = []
        self.abandon: Callable[[], None] | None = None  # called in place of ending the first packs

    def idle(self) -> int:
        return 2 - len(self._packs)

    def next_slot(self) -> Slot:
        return self.slots[len(self._packs)]

    def shares(self) -> dict[str, float]:
        return {}

    def drain(self, seconds: float) -> None:
        return

    def submit(self, trials: Sequence[Trial], seconds: float = math.inf, step_seconds: float = math.inf) -> None:
        self.patience.append(seconds)
        self.recorded_at.append(len(segment_paths(self._folder)))
        self._packs.append(tuple(trials))

    def wait(self, timeout: float) -> list[PackResult]:
        if self.abandon is not None:
            self.abandon()
            return []
        if timeout == 0.0:  # packs take longer than nothing
            return []
        packs, self._packs = self._packs, []
        done = zip(packs, self.slots, strict=False)
        return [PackResult(pack, slot, 0, 1000, PlantedWork().run(pack, slot)) for pack, slot in done]

    def close(self) -> None:
        return


def two_slots(study, folder) -> tuple[Runner, TwoSlots]:
    executor = TwoSlots(folder)
    searcher = open_journal_searcher(study, folder)
    cost = cost_taking(0.5, study.recipe, study.data.shape())
    limits = RunSettings(2**30)
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
    assert all(study.resources.pack_seconds <= seconds < math.inf for seconds in executor.patience), (
        "else none can hang"
    )
    # the third and fourth pack start while nothing is on record, the fifth when two packs are at most
    assert executor.recorded_at[:4] == [0, 0, 0, 0]
    assert executor.recorded_at[4] <= 2


def test_packs_fit_the_memory_of_their_slot_and_not_the_driver_s(tmp_path):
    study = declare(budget={"trials": 200})
    runner, executor = two_slots(study, tmp_path)
    executor.slots = (Slot("small", memory=6 * 2**20), Slot("unknown"))
    runner.recover()
    runner.run()
    sizes: dict[str, set[int]] = {"small": set(), "unknown": set()}
    for path in segment_paths(tmp_path):
        pack = read_segment(path)
        sizes[pack[0].device.removeprefix("cpu:")].add(
            pack_bytes([Recipe.model_validate(r.recipe) for r in pack], study.data.shape())
        )
    assert max(sizes["small"]) <= 6 * 2**20 < max(sizes["unknown"])


def test_an_adaptive_sampler_is_told_before_it_is_asked(tmp_path):
    study = declare(sampler={"type": "tpe"}, budget={"trials": 80})
    runner, executor = two_slots(study, tmp_path)
    runner.recover()
    runner.run()
    assert_complete(study, tmp_path)
    assert executor.recorded_at[:4] == [0, 0, 2, 2]


def test_what_was_asked_for_beyond_a_smaller_budget_waits_for_a_larger_one(tmp_path):
    large = declare(budget={"trials": 400})
    runner, executor = two_slots(large, tmp_path)
    executor.abandon = lambda: runner.stop(grace=0)
    runner.recover()
    runner.run()
    asked = len(stored(large, tmp_path))
    assert 8 < asked < 392
    assert recorded(tmp_path) == [], "packs of the first run were asked for and never ended"
    small = declare(budget={"trials": asked - 8})
    assert run(small, tmp_path).new == asked - 8
    numbers = [record.number for path in segment_paths(tmp_path) for record in read_segment(path)]
    assert sorted(numbers) == list(range(asked - 8))
    assert run(declare(budget={"trials": asked + 8}), tmp_path).new == 16
    assert_complete(declare(budget={"trials": asked + 8}), tmp_path)


class WrittenDown:
    """Planted, but for one ill number; notes every pack that it was handed."""

    def __init__(self, ill: int) -> None:
        self._ill = ill
        self.packs: list[list[int]] = []

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        self.packs.append([trial.number for trial in trials])
        if self._ill in self.packs[-1]:
            raise RuntimeError("ill")
        return PlantedWork().run(trials, slot)


def test_a_pack_in_trouble_goes_again_at_once_then_in_halves_of_its_own(tmp_path):
    work = WrittenDown(ill=1)
    study = declare(budget={"trials": 400})
    run(study, tmp_path, work)
    assert_complete(study, tmp_path)
    ill = [pack for pack in work.packs if 1 in pack]
    first, begin = ill[0], work.packs.index(ill[0])
    assert len(first) > 4
    # before each loss is on the books, the free slot has gone on with a pack that was in store
    assert work.packs[begin : begin + 5 : 2] == [first, first, first[: len(first) // 2]]
    assert work.packs.count([1]) == 2
    assert all(set(pack) <= set(first) for pack in ill), "no neighbour of another pack is endangered"


def test_of_two_records_of_a_number_the_first_counts(tmp_path):
    study = declare()
    assert run(study, tmp_path).done == 40
    told = {trial.number: trial.value for trial in stored(study, tmp_path)}
    again = recorded(tmp_path)
    write_segment(tmp_path, 98, again[:20])
    write_segment(
        tmp_path, 99, [replace(record, trajectory=None, failure=Failure.parse("lost")) for record in again[20:]]
    )
    progress = run(study, tmp_path)
    assert (progress.done, progress.failed, progress.new) == (40, 0, 0)
    assert {trial.number: trial.value for trial in stored(study, tmp_path)} == told


def test_segments_of_later_runs_come_after_those_of_earlier_ones(tmp_path):
    for trials in (8, 16, 24):
        run(declare(budget={"trials": trials}), tmp_path)
    indices = [segment_index(path) for path in segment_paths(tmp_path)]
    assert indices == list(range(len(indices)))
    runs = [range(8), range(8, 16), range(16, 24)]
    assert [record.number // 8 for record in recorded(tmp_path)] == [
        index for index, run in enumerate(runs) for _ in run
    ]


def test_records_lost_beyond_a_smaller_budget_are_not_made_again(tmp_path):
    run(declare(budget={"trials": 24}), tmp_path)
    for path in segment_paths(tmp_path):
        path.unlink()
    assert run(declare(budget={"trials": 8}), tmp_path).new == 8
    assert sorted(record.number for record in recorded(tmp_path)) == list(range(8))
