"""The fully connected family written as a module of a user: the same trajectories as the explicit passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gradstab.families import mlp
from gradstab.record.trajectory import Trajectory
from gradstab.study.data_spec import Digits
from gradstab.study.recipe import Recipe
from gradstab.training.data import load_dataset
from gradstab.training.initial_module import fully_connected
from gradstab.training.trainer import train
from tests.modules.kit import program, recipe
from tests.modules.test_stack import at_once

SEEDS = (7, 8)
# |R| is small there, so that rounding errors do not grow: tanh and ReLU at their critical scales
CASES = {"tanh": ("tanh", 1.0, 0.05), "relu": ("relu", 2**0.5, 0.0), "gelu": ("gelu", 1.4, 0.0)}
TRAINING: dict[str, Any] = {"steps": 20, "batch_size": 32, "probe_every": 5, "probe_samples": 64, "learning_rate": 0.05}


def networks_of(activation: str, scale: float, bias: float) -> tuple[Recipe, Any]:
    """The recipe of an explicit network, and a build function for the module with the weights of its seed."""
    explicit = Recipe(
        depth=5, width=16, activation=activation, init_scale=scale, bias_scale=bias, precision="float64", **TRAINING
    )

    def build(place: int) -> nn.Module:
        made = mlp.build(depth=5, width=16, activation=activation)  # type: ignore[arg-type]  # a name of the library
        drawn = [layer for layer in fully_connected(explicit, SEEDS[place], 64, 10) if isinstance(layer, nn.Linear)]
        own = [layer for layer in made.modules() if isinstance(layer, nn.Linear)]
        for one, other in zip(own, drawn, strict=True):
            one.load_state_dict(other.state_dict())
        return made

    return explicit, build


def as_modules(build: Any, places: Sequence[int]) -> list[Trajectory]:
    """The trajectories of the modules: of one by itself, or of several at once."""
    recipes = [recipe(place=place, precision="float64", **TRAINING) for place in places]
    return at_once(program(build, mlp.loss), recipes, [SEEDS[place] for place in places])


@pytest.mark.parametrize("places", [(0,), (0, 1)], ids=["one by one", "at once"])
@pytest.mark.parametrize("case", CASES)
def test_trajectories_are_those_of_the_explicit_passes(case, places):
    explicit, build = networks_of(*CASES[case])
    expected = train([explicit] * 2, SEEDS, load_dataset(Digits(), 0))
    for place, found in zip(places, as_modules(build, places), strict=True):
        wanted = expected[place]
        np.testing.assert_allclose(found["loss"], wanted["loss"], rtol=1e-6)
        np.testing.assert_allclose(found["grad_norm"], wanted["grad_norm"], rtol=1e-6)
        np.testing.assert_allclose(found["accuracy"], wanted["accuracy"])
        for name in ("log10_delta_norm", "log10_delta_max", "log10_weight_grad_norm", "log10_update_ratio"):
            np.testing.assert_allclose(found[name][0], wanted[name][0], atol=1e-10, err_msg=name)
            np.testing.assert_allclose(found[name], wanted[name], atol=1e-6, err_msg=name)


def test_the_network_taken_home_computes_what_was_trained():
    explicit, _ = networks_of(*CASES["gelu"])
    expected = train([explicit], SEEDS[:1], load_dataset(Digits(), 0))[0]
    module = fully_connected(explicit, SEEDS[0], 64, 10).double()
    data = load_dataset(Digits(), 0)
    rows = data.probe_rows(64)
    inputs = torch.from_numpy(data.x_ND[rows]).double()
    loss = nn.functional.cross_entropy(module(inputs), torch.from_numpy(data.y_N[rows]))
    assert loss.item() == pytest.approx(expected["probe_loss"][0], rel=1e-9)
