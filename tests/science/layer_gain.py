"""Gain of gradients per layer against chi_1 of the golden table (computed by independent code).

A row is admissible when |ln chi_1| L < 200.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gradstab.activations.registry import as_function
from gradstab.stability.judgement import layer_rate
from gradstab.study.data_spec import Teacher
from gradstab.study.recipe import Recipe
from gradstab.theory.critical_scales import log_lengths
from gradstab.theory.layer_maps import chi_1
from gradstab.training.data import Dataset, load_dataset
from gradstab.training.trainer import train
from tests.science.claims import Claim

WIDTH, DEPTH, SEEDS = 512, 24, 4
TOLERANCE = math.log(1.03)
TABLE = Path(__file__).parent.parent / "golden" / "meanfield_reference.csv"

TableRow = dict[str, str]


def admissible_rows() -> list[TableRow]:
    """Rows of the table that a network of this depth can show."""
    with TABLE.open() as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "grid"]
    return [row for row in rows if abs(math.log(float(row["chi1"]))) * DEPTH < 200]


def gain_data() -> Dataset:
    """Gaussian inputs."""
    return load_dataset(Teacher(num_rows=512, num_features=64), 0)


@dataclass(frozen=True)
class Gain:
    """ln of the factor of squared gradients a layer: measured over seeds, and as the table has it."""

    row: TableRow
    measured: float
    standard_error: float
    expected: float

    @property
    def holds(self) -> bool:
        """Within 3 % or three standard errors, whichever is larger."""
        return abs(self.measured - self.expected) <= max(TOLERANCE, 3 * self.standard_error)


def measured_gain(row: TableRow, data: Dataset) -> Gain:
    """Slope of ln G over the last half of the layers."""
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
    error = float(np.std(rates, ddof=1)) / math.sqrt(SEEDS)
    return Gain(row, float(np.mean(rates)), error, expected_slope(row))


def expected_slope(row: TableRow) -> float:
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


def claims() -> list[Claim]:
    """One an activation and bias scale, over all its admissible rows."""
    data = gain_data()
    groups: dict[tuple[str, str], list[Gain]] = {}
    for row in admissible_rows():
        groups.setdefault((row["activation"], row["sigma_b"]), []).append(measured_gain(row, data))
    made = []
    for (activation, bias_scale), gains in groups.items():
        errors = [math.expm1(gain.measured - gain.expected) for gain in gains]
        missed = [gain.row["sigma_w"] for gain in gains if not gain.holds]
        made.append(
            Claim(
                f"{activation} sigma_b={bias_scale}: gain a layer is chi_1, {len(gains)} init scales",
                "within 3 % or 3 se",
                f"missed at {', '.join(missed)}" if missed else f"{len(gains)} of {len(gains)}",
                SEEDS * len(gains),
                f"{min(errors):+.1%} to {max(errors):+.1%}",
                not missed,
            )
        )
    return made
