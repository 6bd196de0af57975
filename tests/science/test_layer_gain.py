"""Measured gain of gradients per layer against mean-field theory, and the trap of weight-gradient norms.

A few rows of the golden table; `make science` measures them all.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradstab.stability.judgement import judge
from gradstab.study.criterion import Criterion
from gradstab.study.recipe import Recipe
from gradstab.study.responses.library.gradient_ratio import gradient_ratio
from gradstab.training.trainer import train
from tests.science.layer_gain import admissible_rows, gain_data, measured_gain

QUICK = {("relu", "1"), ("relu", "2"), ("tanh", "1.2"), ("tanh", "4"), ("sigmoid", "5"), ("sigmoid", "8"), ("gelu", "0.8"), ("linear", "1.2")}  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return gain_data()


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=f"{row['activation']}-{row['sigma_b']}-{row['sigma_w']}")
        for row in admissible_rows()
        if (row["activation"], row["sigma_w"]) in QUICK and row["sigma_b"] != "0"
    ],
)
def test_gain_per_layer_is_chi_1(row, data):
    gain = measured_gain(row, data)
    assert gain.holds, gain


@pytest.mark.parametrize(("init_scale", "phase"), [(1.0, "vanishing"), (2.0, "exploding")])
def test_relu_trap_weight_gradients_are_flat_but_the_verdict_is_not(init_scale, phase, data):
    recipe = Recipe(depth=30, width=256, activation="relu", init_scale=init_scale, steps=0, probe_samples=64)
    trajectories = train([recipe] * 5, range(5), data)
    ratios = [gradient_ratio(trajectory["log10_delta_norm"][0])[0] for trajectory in trajectories]
    # chi_1 = sigma_w^2 / 2 over 29 layers
    assert np.mean(ratios) == pytest.approx(29 * math.log10(init_scale / math.sqrt(2)), abs=0.5)
    weight_norms = [trajectory["log10_weight_grad_norm"][0] for trajectory in trajectories]
    weight_ratio = np.mean([norms[1] - norms[-1] for norms in weight_norms])
    assert abs(weight_ratio) < 0.2 * abs(np.mean(ratios))
    assert {judge(trajectory, Criterion()).verdict for trajectory in trajectories} == {phase}
