"""The queue on real Optuna: which trials make a pack, and that every trial is in one of them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstab.loop.attempts import AttemptLog
from gradstab.loop.pack_queue import PackQueue
from gradstab.loop.ports import Slot
from gradstab.loop.speeds import Speeds
from gradstab.loop.trial import Trial, trial_seed
from gradstab.loop.waiting_trials import WaitingTrials
from gradstab.record.failure import Failure, FailureKind
from gradstab.study.axes import Choice, LogInteger, LogReal
from gradstab.study.recipe import Recipe
from gradstab.study.study import Study
from tests.journal_searcher import open_journal_searcher
from tests.loop.planted_costs import learned_cost
from tests.loop.test_runner import declare

SLOTS = [Slot("cpu-0"), Slot("cpu-1")]
THREE = {
    "depth": LogInteger(2, 32),
    "init_scale": LogReal(0.5, 4),
    "activation": Choice(("tanh", "relu", "sigmoid")),
}


def packs_of(study: Study, folder: Path) -> list[list[Trial]]:
    """All packs of a study on a machine that is as fast as assumed, whose results nobody awaits."""
    shape, attempts = study.data.shape(), AttemptLog(folder / "attempts.jsonl")
    searcher = open_journal_searcher(study, folder)
    speeds = Speeds(shape, {"cpu": learned_cost(study.recipe, 1, 1, shape=shape)})
    queue = PackQueue(study, searcher, attempts, speeds, num_slots=2, pack_bytes=2**30)
    packs = []
    while pack := queue.next_pack("cpu", SLOTS):
        packs.append(pack)
    searcher.close()
    return packs


def test_a_design_s_packs_are_whole_stacks_in_which_dispatch_takes_a_tenth(tmp_path):
    study = declare(space=THREE, recipe={"steps": 300}, budget={"trials": 500})
    packs = packs_of(study, tmp_path)
    assert sorted(trial.number for pack in packs for trial in pack) == list(range(500))
    assert all(len({trial.recipe.activation for trial in pack}) == 1 for pack in packs)
    cost, shape = learned_cost(study.recipe, 1, 1), study.data.shape()
    for pack in packs[: len(packs) // 3]:
        total = cost.pack_seconds([trial.recipe for trial in pack], shape)
        arithmetic = sum(cost.seconds(trial.recipe, shape) for trial in pack)
        assert total - arithmetic < 0.11 * total
    # the trial that has waited longest is in the next pack
    firsts = [min(trial.number for trial in pack) for pack in packs]
    assert firsts == sorted(firsts)


def test_a_pack_takes_of_its_activation_the_trials_of_most_similar_depth(tmp_path):
    waiting = WaitingTrials(1)
    depths = [10, 2, 30, 9, 12, 3]
    for number, depth in enumerate(depths):
        waiting.append(Trial(number, {}, Recipe(depth=depth), trial_seed(0, number)))
    waiting.append(Trial(6, {}, Recipe(depth=10, activation="relu"), 0))
    found = waiting.like_first(AttemptLog(tmp_path / "attempts.jsonl"))
    assert [trial.recipe.depth for trial in found] == [10, 9, 12, 30, 3, 2]
    assert [trial.number for trial in waiting.take(found[:3])] == [0, 3, 4]
    assert [trial.number for trial in waiting] == [1, 2, 5, 6]


def test_an_adaptive_sampler_is_asked_for_one_batch_and_its_packs_mix_activations(tmp_path):
    study = declare(space=THREE, sampler={"type": "boundary", "batch": 12}, budget={"trials": 60})
    packs = packs_of(study, tmp_path)
    assert [trial.number for pack in packs for trial in pack] == list(range(60))
    assert max(map(len, packs)) <= 12
    assert any(len({trial.recipe.activation for trial in pack}) > 1 for pack in packs)


@pytest.mark.parametrize("replicates", [2, 5])
def test_replicates_of_a_point_train_together(tmp_path, replicates):
    packs = packs_of(declare(space=THREE, replicates=replicates, budget={"trials": 120}), tmp_path)
    assert sorted(trial.number for pack in packs for trial in pack) == list(range(120))
    assert all(len(pack) % replicates == 0 for pack in packs)
    for pack in packs:
        assert len({trial.number // replicates for trial in pack}) == len(pack) // replicates


def test_trials_that_failed_alike_train_together_and_endanger_no_others(tmp_path):
    attempts, waiting = AttemptLog(tmp_path / "attempts.jsonl"), WaitingTrials(1)
    for number in range(8):
        waiting.append(Trial(number, {}, Recipe(depth=4), 0))
    attempts.record_failure([2, 5], Failure(FailureKind.WORKER_LOST))
    assert [trial.number for trial in waiting.like_first(attempts)] == [0, 1, 3, 4, 6, 7]
    failed = waiting.take([trial for trial in waiting if trial.number in (2, 5)])
    waiting.put_in_front(failed)
    assert [trial.number for trial in waiting.like_first(attempts)] == [2, 5]


@given(st.lists(st.integers(1, 64), min_size=1, max_size=60), st.integers(1, 5), st.integers(0, 60))
def test_whole_points_are_never_split(depths, replicates, wanted):
    waiting, trials = WaitingTrials(replicates), []
    for point, depth in enumerate(depths):
        for copy in range(replicates):
            trials.append(Trial(point * replicates + copy, {}, Recipe(depth=depth), 0))
            waiting.append(trials[-1])
    order = waiting.like_first(AttemptLog(Path("/nonexistent/attempts.jsonl")))
    assert sorted(trial.number for trial in order) == list(range(len(trials)))
    count = waiting.whole_points(order, min(wanted, len(order)))
    chosen, rest = ({trial.number // replicates for trial in part} for part in (order[:count], order[count:]))
    assert not chosen & rest
    assert wanted - replicates < count <= wanted or count == len(order)
    distance = [abs(math.log(trial.recipe.depth / depths[0])) for trial in order]
    assert distance == sorted(distance)
