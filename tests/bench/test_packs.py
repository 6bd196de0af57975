"""What the benchmark trains by pack size is comparable: equal mean depth, whole packs; a stack has one activation."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest

from gradstab.record.segments import Record
from gradstab.study.file import load_study_file
from tests.bench.accounted import QUICKSTART, num_packs
from tests.bench.packs import cut, only
from tests.bench.studies import spread_points, trials_of
from tests.fakes import make_record

STUDY = load_study_file(QUICKSTART)


@pytest.mark.parametrize("count", [1, 3, 6, 12])
def test_packs_are_whole_and_of_about_one_mean_depth(count: int) -> None:
    trials = trials_of(STUDY, spread_points(STUDY, 24))
    packs = cut(trials, count)
    assert {len(pack) for pack in packs} == {count}
    assert sorted(trial.number for pack in packs for trial in pack) == list(range(24))
    if count >= 6:
        depths = [statistics.mean(trial.recipe.depth for trial in pack) for pack in packs]
        assert max(depths) < 1.5 * min(depths)


def test_a_stack_has_one_activation_and_else_the_study_s_points() -> None:
    stack = only(STUDY, "relu")
    trials = trials_of(stack, spread_points(stack, 6))
    assert {trial.recipe.activation for trial in trials} == {"relu"}
    assert set(stack.space.names()) == set(STUDY.space.names()) - {"activation"}


def test_trials_of_one_slot_and_start_are_one_pack() -> None:
    record: Record = make_record(0)
    records = [
        replace(record, device="cpu:cpu-0", started_ms=1),
        replace(record, device="cpu:cpu-0", started_ms=1),
        replace(record, device="cpu:cpu-1", started_ms=1),
        replace(record, device="cpu:cpu-0", started_ms=2),
    ]
    assert num_packs(records) == 3
