"""The loop on real Optuna with planted work: record, then tell, then ship; cut anywhere, nothing lost or doubled."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest

from gradstab.errors import UsageError
from gradstab.execution.serial_executor import SerialExecutor
from gradstab.loop.cost_model import CostModel
from gradstab.loop.ports import Outcome, Slot, Work
from gradstab.loop.progress import Progress
from gradstab.loop.runner import Runner, RunSettings
from gradstab.loop.trial import Trial
from gradstab.record.failure import Failure, FailureKind
from gradstab.record.segments import Record, read_segment, segment_paths
from gradstab.search.searcher import OptunaSearcher
from gradstab.study.axes import Choice, LogInteger, LogReal
from gradstab.study.study import Study
from gradstab.system.storage_url import parse_storage
from tests.fakes import NoTracker
from tests.fakes_work import NarrowWork, PlantedWork, RaisingWork
from tests.journal_searcher import open_journal_searcher


def declare(**changes: object) -> Study:
    fields: dict[str, object] = {
        "name": "planted",
        "question": "q",
        "space": {"depth": LogInteger(2, 16), "init_scale": LogReal(0.5, 4)},
        "recipe": {"steps": 20},
        "budget": {"trials": 40},
    }
    return Study.model_validate({**fields, **changes})


def open_runner(study: Study, folder: Path, work: Work | None = None, **limits: Any) -> Runner:
    searcher = open_journal_searcher(study, folder)
    return Runner(
        study,
        folder,
        searcher,
        SerialExecutor(work or PlantedWork()),
        NoTracker(),
        limits=RunSettings(pack_bytes=2**30, **limits),
        costs={"cpu": CostModel()},
        on_progress=lambda _: None,
    )


def run(study: Study, folder: Path, work: Work | None = None, **limits: Any) -> Progress:
    runner = open_runner(study, folder, work, **limits)
    runner.recover()
    return runner.run()


def recorded(folder: Path) -> list[Record]:
    return [record for path in segment_paths(folder) for record in read_segment(path)]


def stored(study: Study, folder: Path) -> list[optuna.trial.FrozenTrial]:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(f"{folder}/optuna.journal"))
    return optuna.load_study(study_name=study.name, storage=storage).trials


def assert_complete(study: Study, folder: Path) -> None:
    total = study.budget.trials
    assert sorted(record.number for record in recorded(folder)) == list(range(total))
    trials = stored(study, folder)
    assert [trial.number for trial in trials] == list(range(total))
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "FAIL"}
    by_number = {record.number: record for record in recorded(folder)}
    assert all(trial.params == by_number[trial.number].point for trial in trials)


def test_a_study_is_brought_to_its_budget_and_no_further(tmp_path):
    study = declare()
    progress = run(study, tmp_path)
    assert (progress.done, progress.new) == (40, 40)
    assert_complete(study, tmp_path)
    again = run(study, tmp_path)
    assert (again.done, again.new) == (40, 0)
    assert_complete(study, tmp_path)


class FaultyProgram:
    """Planted results, except that the user's program fails at some trials."""

    def __init__(self, faults: Mapping[int, str]) -> None:
        self.faults = faults

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Outcome]:
        return [
            Failure(FailureKind.PROGRAM, self.faults[trial.number])
            if trial.number in self.faults
            else PlantedWork().run([trial], slot)[0]
            for trial in trials
        ]


def test_a_fault_of_the_users_program_fails_its_trial_alone_and_at_once(tmp_path):
    study = declare()
    progress = run(study, tmp_path, FaultyProgram({3: "own.py line 3: bad", 7: "own.py line 9: worse"}))
    assert (progress.done, progress.failed) == (40, 2)
    assert_complete(study, tmp_path)
    failed = {record.number: record for record in recorded(tmp_path) if record.failure is not None}
    assert {number: str(record.failure) for number, record in failed.items()} == {
        3: "program: own.py line 3: bad",
        7: "program: own.py line 9: worse",
    }
    assert [record.attempts for record in failed.values()] == [1, 1], "trying again would repeat it"


def test_three_equal_faults_end_the_run_and_lose_nothing(tmp_path):
    study = declare()
    with pytest.raises(UsageError, match=r"own\.py line 3: bad \(3 trials"):
        run(study, tmp_path, FaultyProgram(dict.fromkeys((1, 2, 4), "own.py line 3: bad")))
    before = {record.number for record in recorded(tmp_path)}
    assert {1, 2, 4} <= before
    assert len(before) < 40
    progress = run(study, tmp_path)
    assert (progress.done, progress.failed) == (40, 3)
    assert_complete(study, tmp_path)


def test_a_larger_budget_keeps_the_prefix(tmp_path):
    for name in ("grown", "whole"):
        (tmp_path / name).mkdir()
    run(declare(), tmp_path / "grown")
    larger = declare(budget={"trials": 60})
    assert run(larger, tmp_path / "grown").new == 20
    run(larger, tmp_path / "whole")
    grown, whole = (
        {record.number: (record.point, record.seed) for record in recorded(tmp_path / name)}
        for name in ("grown", "whole")
    )
    assert grown == whole


def test_what_storage_holds_are_the_judged_values(tmp_path):
    study = declare(budget={"trials": 16})
    run(study, tmp_path)
    from gradstab.stability.judgement import judge

    by_number = {record.number: record for record in recorded(tmp_path)}
    for trial in stored(study, tmp_path):
        trajectory = by_number[trial.number].trajectory
        assert trajectory is not None
        judgement = judge(trajectory, study.criterion)
        assert trial.value == judgement.margin
        assert trial.user_attrs["gs.verdict"] == judgement.verdict
        assert trial.user_attrs["gs.R"] == judgement.gradient_ratio


def test_recorded_but_not_told_is_told_and_not_run_again(tmp_path):
    study = declare(budget={"trials": 24})
    runner = open_runner(study, tmp_path)
    runner.recover()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    runner._searcher.tell = die  # type: ignore[method-assign, assignment]  # the driver dies between record and tell
    with pytest.raises(KeyboardInterrupt):
        runner.run()
    before = recorded(tmp_path)
    assert before
    assert {trial.state.name for trial in stored(study, tmp_path)} == {"RUNNING"}
    run(study, tmp_path)
    assert_complete(study, tmp_path)
    after = {record.number: record.finished_ms for record in recorded(tmp_path)}
    assert all(after[record.number] == record.finished_ms for record in before)


def test_a_corrupt_segment_is_set_aside_and_its_trials_run_again(tmp_path):
    study = declare(budget={"trials": 24})
    run(study, tmp_path)
    path = segment_paths(tmp_path)[0]
    lost = {record.number: record for record in read_segment(path)}
    path.write_bytes(path.read_bytes()[:-10])
    runner = open_runner(study, tmp_path)
    runner.recover()
    assert runner.set_aside == [path]
    assert runner.run().done == 24
    assert_complete(study, tmp_path)
    again = {record.number: record for record in recorded(tmp_path) if record.number in lost}
    assert {n: (r.point, r.seed) for n, r in again.items()} == {n: (r.point, r.seed) for n, r in lost.items()}


def test_a_trial_that_always_raises_is_the_only_failure(tmp_path):
    study = declare(budget={"trials": 32})
    progress = run(study, tmp_path, RaisingWork(frozenset({13}), ValueError("planted")))
    assert (progress.failed, progress.done) == (1, 32)
    assert_complete(study, tmp_path)
    failed = [record for record in recorded(tmp_path) if record.failure is not None]
    assert [record.number for record in failed] == [13]
    assert failed[0].attempts >= 2
    assert [trial.number for trial in stored(study, tmp_path) if trial.state.name == "FAIL"] == [13]


def test_data_that_is_not_there_ends_the_run_and_fails_no_trial(tmp_path):
    from gradstab.study.data_spec import DataError

    study = declare(budget={"trials": 32})
    with pytest.raises(DataError, match="data must be there"):
        run(study, tmp_path, RaisingWork(frozenset({13}), DataError("data must be there")))
    assert run(study, tmp_path).failed == 0
    assert_complete(study, tmp_path)


def test_failures_count_toward_the_budget_on_the_next_run(tmp_path):
    study = declare(budget={"trials": 32})
    run(study, tmp_path, RaisingWork(frozenset({13}), ValueError("planted")))
    assert run(study, tmp_path).new == 0


def test_replicates_share_the_point_and_the_pack_and_differ_in_seed(tmp_path):
    study = declare(budget={"trials": 30}, replicates=3)
    run(study, tmp_path)
    by_number = {record.number: record for record in recorded(tmp_path)}
    for first in range(0, 30, 3):
        group = [by_number[first + i] for i in range(3)]
        assert group[0].point == group[1].point == group[2].point
        assert len({record.seed for record in group}) == 3
    for path in segment_paths(tmp_path):
        numbers = [record.number for record in read_segment(path)]
        assert all(count == 3 for count in Counter(number // 3 for number in numbers).values())


def test_axes_of_structural_fields_make_packs_of_one_key(tmp_path):
    study = declare(
        space={"width": Choice((16, 32)), "optimizer": Choice(("sgd", "adam")), "init_scale": LogReal(1, 2)}
    )
    run(study, tmp_path)
    assert_complete(study, tmp_path)
    for path in segment_paths(tmp_path):
        assert len({(record.recipe["width"], record.recipe["optimizer"]) for record in read_segment(path)}) == 1


@pytest.mark.parametrize("sampler", ["random", "sobol", "grid", "tpe", "cmaes", "boundary"])
def test_every_sampler_finishes_and_resumes(tmp_path, sampler):
    run(declare(sampler={"type": sampler}, budget={"trials": 20}), tmp_path)
    study = declare(sampler={"type": sampler}, budget={"trials": 40})
    run(study, tmp_path)
    assert_complete(study, tmp_path)


def test_stop_asks_for_nothing_more(tmp_path):
    study = declare()
    runner = open_runner(study, tmp_path)
    runner.recover()
    runner.stop()
    assert runner.run().done == 0
    assert run(study, tmp_path).done == 40


def test_a_time_limit_ends_the_run_and_the_study_continues(tmp_path):
    class Slow:
        def run(self, trials, slot: Slot):
            import time

            time.sleep(0.05)
            return PlantedWork().run(trials, slot)

    done = run(declare(budget={"trials": 4000}), tmp_path, Slow(), seconds=0.01).done
    assert 0 < done < 4000
    total = max(record.number for record in recorded(tmp_path)) + 9
    assert run(declare(budget={"trials": total}), tmp_path).new == total - done
    assert sorted(record.number for record in recorded(tmp_path)) == list(range(total))


def test_a_study_of_the_same_name_in_shared_storage_is_not_continued_by_mistake(tmp_path):
    from gradstab.errors import UsageError

    url, study = f"journal:{tmp_path}/shared.journal", declare()

    def opened(fingerprints: dict[str, str]) -> OptunaSearcher:
        return OptunaSearcher(
            parse_storage(url), study.name, study.space, study.sampler, study_seed=0, fingerprints=fingerprints
        )

    opened({"0.1.0": study.fingerprint("0.1.0")}).close()
    opened(study.fingerprints()).close()  # a later version knows it by what 0.1.0 called it
    with pytest.raises(UsageError, match="Give this study another --name"):
        opened(declare(seed=1).fingerprints())


def test_failed_trials_are_tried_again_under_new_numbers_linked_to_the_old(tmp_path):
    study = declare(budget={"trials": 12})
    ill = run(study, tmp_path, RaisingWork(frozenset([3, 7]), RuntimeError("boom")))
    assert (ill.done, ill.failed) == (12, 2)
    assert run(study, tmp_path).failed == 2  # not unless it is asked for

    def retried() -> Progress:
        runner = open_runner(study, tmp_path)
        runner.recover(retry_failed=True)
        return runner.run()

    well = retried()
    assert (well.done, well.failed, well.new) == (12, 0, 2)
    records = {record.number: record for path in segment_paths(tmp_path) for record in read_segment(path)}
    assert {n: record.retry_of for n, record in records.items() if record.retry_of is not None} == {12: 3, 13: 7}
    assert (records[12].point, records[13].point) == (records[3].point, records[7].point)
    assert records[12].seed != records[3].seed
    again = retried()
    assert (again.done, again.failed, again.new) == (12, 0, 0)
    (tmp_path / "optuna.journal").unlink()
    assert run(study, tmp_path).done == 12
    larger = run(declare(budget={"trials": 14}), tmp_path)
    assert (larger.done, larger.new) == (14, 2)
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    run(declare(budget={"trials": 14}), undisturbed)
    points = [tuple(record.point.items()) for path in segment_paths(undisturbed) for record in read_segment(path)]
    mine = [tuple(record.point.items()) for path in segment_paths(tmp_path) for record in read_segment(path) if record.retry_of is None]  # fmt: skip
    assert sorted(mine) == sorted(points)


def test_a_pack_that_exhausts_memory_is_split_and_later_ones_are_smaller(tmp_path):
    study = declare(space={"init_scale": LogReal(0.5, 4)}, budget={"trials": 500})
    progress = run(study, tmp_path, NarrowWork(10))
    assert (progress.done, progress.failed) == (500, 0)
    lines = (tmp_path / "attempts.jsonl").read_text().split("\n")
    losses = [json.loads(line)["numbers"] for line in lines if line]
    assert len(losses[0]) > 20
    # every new pack is at most half as large as the last one that did not fit: 1 + 1/2 + 1/4 + ... of the first
    assert len({number for numbers in losses for number in numbers}) <= 2 * len(losses[0])
