"""A run that is stopped while a pack trains: what is complete is recorded, the rest is trained by the next run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gradstab.loop import runner as loop
from gradstab.loop.progress import Progress
from gradstab.loop.runner import Runner
from gradstab.record.segments import Record, segment_paths
from gradstab.study.axes import Choice, Integer
from gradstab.study.recipe import Recipe
from gradstab.study.study import Study
from gradstab.training.work import TrainingWork
from tests.fakes_work import SleepingWork
from tests.loop.planted_costs import cost_taking
from tests.loop.test_runner import assert_complete, declare, open_runner, recorded, run
from tests.training.test_trainer import assert_same_bits


def two_stacks() -> Study:
    """One pack of two stacks: with momentum, and without."""
    return declare(
        space={"depth": Integer(2, 6), "momentum": Choice((0.0, 0.9))},
        recipe={"width": 16, "steps": 200, "batch_size": 16, "probe_samples": 64},
        sampler={"type": "boundary", "batch": 24},  # whose trials are not sorted into packs of one stack
        budget={"trials": 24},
    )


def stopped_at(study: Study, folder: Path, share: float, work: TrainingWork | SleepingWork) -> Runner:
    """A run that was stopped when it had done this share of its work, with no time to finish anything."""
    runner = open_runner(study, folder, work)

    def watch(progress: Progress) -> None:
        if progress.share > share:
            runner.stop()

    runner._on_progress = watch
    runner.speeds.costs["cpu"] = cost_taking(1e-6, Recipe(width=16))  # so that all trials make one pack
    runner.recover()
    runner.run()
    return runner


def by_number(records: list[Record]) -> dict[int, Record]:
    assert len({record.number for record in records}) == len(records), "a trial is on record twice"
    return {record.number: record for record in records}


@pytest.fixture(autouse=True)
def _settings_of_torch() -> Iterator[None]:
    """Training in this process sets them; other tests must not meet flushed denormal numbers."""
    threads = torch.get_num_threads()
    yield
    torch.set_flush_denormal(False)
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "FINISH_SECONDS", 0.0)
    monkeypatch.setattr(loop, "_WAIT_SECONDS", 0.01)


def test_finished_stacks_are_recorded_and_the_others_train_again_to_the_same_bits(tmp_path: Path) -> None:
    study = two_stacks()
    work = TrainingWork(study.data, study.seed)
    undisturbed, resumed = tmp_path / "undisturbed", tmp_path / "resumed"
    undisturbed.mkdir()
    resumed.mkdir()
    run(study, undisturbed, work)
    first = stopped_at(study, resumed, 0.6, work)
    kept = by_number(recorded(resumed))
    assert 0 < len(kept) < 24
    assert first.num_given_back == 24 - len(kept)
    assert len({record.recipe["momentum"] for record in kept.values()}) == 1, "a stack ends as a whole"
    second = open_runner(study, resumed, work)
    second.recover()
    assert len(second.resumed) == 24 - len(kept)
    second.run()
    assert_complete(study, resumed)
    expected = by_number(recorded(undisturbed))
    for number, record in by_number(recorded(resumed)).items():
        assert record.attempts == 1, "a trial that was given back has failed nowhere"
        assert record.trajectory is not None
        wanted = expected[number].trajectory
        assert wanted is not None
        assert_same_bits(record.trajectory, wanted)


def test_a_pack_that_is_given_back_whole_leaves_nothing_on_record_and_no_failure(tmp_path: Path) -> None:
    study = two_stacks()
    work = TrainingWork(study.data, study.seed)
    runner = stopped_at(study, tmp_path, 0.02, work)
    assert (segment_paths(tmp_path), runner.num_given_back) == ([], 24)
    assert not (tmp_path / "attempts.jsonl").exists()
    assert run(study, tmp_path, work).new == 24
    assert_complete(study, tmp_path)


def test_stopped_again_and_again_every_trial_is_recorded_once(tmp_path: Path) -> None:
    study = declare(budget={"trials": 12})
    for share in (0.05, 0.3, 0.5, 0.8):
        stopped_at(study, tmp_path, share, SleepingWork(0.02))
        by_number(recorded(tmp_path))
    run(study, tmp_path)
    assert_complete(study, tmp_path)


def test_progress_moves_within_a_pack(tmp_path: Path) -> None:
    study = declare(budget={"trials": 12})
    runner = open_runner(study, tmp_path, SleepingWork(0.05))
    seen: list[tuple[int, float, float]] = []
    runner._on_progress = lambda progress: seen.append((progress.new, progress.underway, progress.share))
    runner.speeds.costs["cpu"] = cost_taking(1e-6, Recipe())
    runner.recover()
    runner.run()
    assert [share for *_, share in seen] == sorted(share for *_, share in seen)
    before_the_first_end = {round(underway, 1) for new, underway, _ in seen if new == 0}
    assert len(before_the_first_end) > 3
    assert seen[-1] == (12, 0.0, 1.0)
