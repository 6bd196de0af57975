"""Learning rates along a training: those of torch's schedulers, step for step."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gradstab.study.recipe import Recipe
from gradstab.training.layout import FlatLayout, Section
from gradstab.training.optimizers import OPTIMIZERS
from gradstab.training.schedules import rate_factor, rate_schedules
from gradstab.training.trainer import train
from tests.reference import make_optimizer, make_scheduler, train_one
from tests.training.test_trainer import assert_same_bits

SETTINGS = [
    (schedule, warmup_steps)
    for schedule in ("constant", "cosine", "linear", "inverse_sqrt")
    for warmup_steps in (0, 1, 4, 12)
]


@pytest.mark.parametrize(("schedule", "warmup_steps"), SETTINGS)
def test_rates_are_those_of_torchs_schedulers(schedule, warmup_steps):
    recipe = Recipe(learning_rate=0.3, schedule=schedule, warmup_steps=warmup_steps, steps=12)
    optimizer = make_optimizer(recipe, [torch.zeros(1, requires_grad=True)])
    scheduler = make_scheduler(recipe, optimizer)
    for step in range(12):
        expected = optimizer.param_groups[0]["lr"]
        assert 0.3 * rate_factor(schedule, warmup_steps, 12, step) == pytest.approx(expected, rel=1e-12)
        optimizer.step()
        scheduler.step()


def test_the_inverse_root_is_the_rate_of_vaswani_over_its_largest_value():
    def rate(number: int) -> float:
        return math.sqrt(1 / 512) * min(1 / math.sqrt(number), number / (40 * math.sqrt(40)))

    factors = [rate_factor("inverse_sqrt", 40, 300, step) for step in range(300)]
    np.testing.assert_allclose(factors, [rate(step + 1) / rate(40) for step in range(300)], rtol=1e-12)


@pytest.mark.parametrize(
    "fields",
    [
        {"optimizer": "sgd", "momentum": 0.5},
        {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.1},
    ],
    ids=["sgd", "adamw"],
)
@pytest.mark.parametrize(("schedule", "warmup_steps"), [("constant", 5), ("cosine", 0), ("linear", 3), ("inverse_sqrt", 4)])  # fmt: skip
def test_a_training_is_that_of_a_plain_loop(schedule, warmup_steps, fields, odd_data):
    recipe = Recipe(
        depth=3, width=21, steps=12, batch_size=33, probe_every=5, probe_samples=70, precision="float64",
        schedule=schedule, warmup_steps=warmup_steps, **fields,
    )  # fmt: skip
    (found,), twin = train([recipe], [3], odd_data), train_one(recipe, 3, odd_data)
    np.testing.assert_allclose(found["loss"], twin["loss"], rtol=1e-9)
    np.testing.assert_allclose(
        found["log10_update_ratio"], twin["log10_update_ratio"], rtol=1e-6
    )  # a float32 on record


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_members_of_other_schedules_keep_their_bits(optimizer, digits):
    """Also after members that stopped were dropped, and beside members of constant rates."""
    recipes = [
        Recipe(
            depth=2 + index % 3, width=32, activation="relu", steps=30, batch_size=16, probe_samples=64, optimizer=optimizer,
            learning_rate=1e30 if index in (1, 6) else 0.01, schedule=schedule, warmup_steps=warmup_steps,
        )
        for index, (schedule, warmup_steps) in enumerate([("constant", 0), *SETTINGS])
    ]  # fmt: skip
    seeds = range(len(recipes))
    whole = train(recipes, seeds, digits)
    assert sum(found.nonfinite_step is not None for found in whole) == 2
    for recipe, seed, found in zip(recipes, seeds, whole, strict=True):
        assert_same_bits(found, train([recipe], [seed], digits)[0])


def test_a_stack_of_constant_rates_has_no_schedules():
    constant, warmed = Recipe(), Recipe(warmup_steps=3)
    device = torch.device("cpu")
    assert rate_schedules([constant, constant], device) is None
    assert rate_schedules([constant, warmed], device) is not None


def test_an_update_tells_the_rate_that_it_used():
    recipes = [Recipe(learning_rate=0.1, schedule="linear", steps=4), Recipe(learning_rate=0.1)]
    layout = FlatLayout(2, (Section(2, 32),))
    value = torch.zeros(layout.length)
    optimizer = OPTIMIZERS["sgd"](recipes, layout, value)
    told = [optimizer.update(value, torch.ones(layout.length), None)[1].tolist() for _ in range(4)]
    np.testing.assert_allclose(told, [[0.1, 0.1], [0.075, 0.1], [0.05, 0.1], [0.025, 0.1]])


def test_a_warm_up_over_all_steps_never_reaches_the_schedule():
    assert rate_factor("cosine", 8, 8, 7) == 1.0
    assert math.isfinite(rate_factor("linear", 8, 8, 8))
