"""What `gradstab check` estimates against the packs that the loop really makes."""

from __future__ import annotations

import pytest

from gradstab.commands.estimate import SECONDS_BESIDE_TRAINING, estimate
from gradstab.loop.cost_model import CostModel
from gradstab.study.study import Study
from tests.loop.planted_costs import learned_cost
from tests.loop.test_pack_queue import THREE, packs_of
from tests.loop.test_runner import declare

ROOM = 2**30


def cost_of(study: Study) -> CostModel:
    return learned_cost(study.recipe, 1, 1, shape=study.data.shape())


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": {"steps": 300}, "budget": {"trials": 600}},
        {"recipe": {"steps": 100}, "budget": {"trials": 300}, "sampler": {"type": "boundary"}},
        {"recipe": {"steps": 200, "width": 128}, "budget": {"trials": 200}, "replicates": 4},
    ],
)
def test_the_estimate_is_near_what_the_loop_s_packs_take(tmp_path, changes):
    study = declare(space=THREE, **changes)
    cost, shape = cost_of(study), study.data.shape()
    found = estimate(study, cost, 2, ROOM)
    packs = [[trial.recipe for trial in pack] for pack in packs_of(study, tmp_path)]
    training = sum(cost.pack_seconds(pack, shape) for pack in packs)
    beside = SECONDS_BESIDE_TRAINING * study.budget.trials
    assert found.seconds == pytest.approx((training + beside) / 2, rel=0.1)
    arithmetic = sum(cost.seconds(recipe, shape) for pack in packs for recipe in pack)
    assert found.dispatch_share == pytest.approx(1 - arithmetic / training, abs=0.06)
    assert found.trials_per_pack == pytest.approx(max(map(len, packs)), rel=0.5)


def test_an_adaptive_sampler_s_batch_is_said_to_limit_its_packs_and_what_that_costs():
    design = declare(space=THREE, recipe={"steps": 300}, budget={"trials": 600})
    adaptive = design.model_copy(update={"sampler": declare(sampler={"type": "boundary", "batch": 8}).sampler})
    cost = cost_of(design)
    free, bound = estimate(design, cost, 2, ROOM), estimate(adaptive, cost, 2, ROOM)
    assert (free.batch, bound.batch) == (None, 8)
    assert bound.trials_per_pack <= 8 < free.trials_per_pack
    assert bound.dispatch_share > 2 * free.dispatch_share
    assert bound.seconds > free.seconds


def test_a_machine_that_runs_python_slowly_takes_longer_beside_training_too():
    study = declare(space=THREE, recipe={"steps": 300}, budget={"trials": 600})
    slow = learned_cost(study.recipe, 4, 4, shape=study.data.shape())
    assert estimate(study, slow, 2, ROOM).seconds == pytest.approx(
        4 * estimate(study, cost_of(study), 2, ROOM).seconds, rel=0.1
    )
