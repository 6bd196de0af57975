"""Measured gain of gradients per layer against mean-field theory, and the trap of weight-gradient norms.

The golden table (computed by independent code) gives chi_1; a row is admissible when |ln chi_1| L < 200. All rows run
with `make science`, a few of them always.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from pipeline.data_spec import Teacher
from pipeline.recipe import Recipe
from pipeline.stability.criterion import Criterion, gradient_ratio, judge, layer_rate
from pipeline.stability.layer_maps import chi_1
from pipeline.stability.scalar_functions import as_function
from pipeline.stability.theory import log_lengths
from pipeline.training.data import load_dataset
from pipeline.training.trainer import train

WIDTH, DEPTH, SEEDS = 512, 24, 4
TABLE = Path(__file__).parent.parent / "golden" / "meanfield_reference.csv"
QUICK = {("relu", "1"), ("relu", "2"), ("tanh", "1.2"), ("tanh", "4"), ("sigmoid", "5"), ("sigmoid", "8"), ("gelu", "0.8"), ("linear", "1.2")}  # fmt: skip


def admissible_rows() -> list[dict[str, str]]:
    with TABLE.open() as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "grid"]
    return [row for row in rows if abs(math.log(float(row["chi1"]))) * DEPTH < 200]


def expected_slope(row: dict[str, str]) -> float:
    """ln chi_1 at the table's fixed point, or along the lengths that are passed where half the layers do not reach it.

    At a transition q falls as 1/l, and lengths that grow without bound reach the table's limit late.
    """
    if row["activation"] in ("linear", "relu"):
        return math.log(float(row["chi1"]))
    log_q_L = log_lengths(row["activation"], float(row["sigma_w"]), float(row["sigma_b"]), DEPTH)[0]
    if row["q_status"] == "finite" and abs(log_q_L[DEPTH // 2] - math.log(float(row["q_star"]))) < 0.01:
        return math.log(float(row["chi1"]))
    function = as_function(row["activation"])
    gains = [math.log(float(chi_1(function, float(row["sigma_w"]), math.exp(q)))) for q in log_q_L[DEPTH // 2 : -1]]
    return float(np.mean(gains))


@pytest.fixture(scope="module")
def data():
    return load_dataset(Teacher(num_rows=512, num_features=64), 0)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            row,
            id=f"{row['activation']}-{row['sigma_b']}-{row['sigma_w']}",
            marks=[]
            if (row["activation"], row["sigma_w"]) in QUICK and row["sigma_b"] != "0"
            else [pytest.mark.science],
        )
        for row in admissible_rows()
    ],
)
def test_gain_per_layer_is_chi_1(row, data):
    """Within 3 % or three standard errors, whichever is larger (SCIENCE section 6)."""
    recipe = Recipe(
        depth=DEPTH,
        width=WIDTH,
        activation=row["activation"],
        init_scale=float(row["sigma_w"]),
        bias_scale=float(row["sigma_b"]),
        steps=0,
        probe_samples=64,
    )
    rates = []
    for trajectory in train([recipe] * SEEDS, range(SEEDS), data):
        rate, _ = layer_rate(trajectory["log10_delta_norm"][0], last_half=True)
        assert rate is not None, row
        rates.append(2 * rate)
    standard_error = float(np.std(rates, ddof=1)) / math.sqrt(SEEDS)
    assert abs(np.mean(rates) - expected_slope(row)) <= max(math.log(1.03), 3 * standard_error)


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
