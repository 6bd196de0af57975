"""The table of init scales at which R is -1, 0 and +1, and the width of the band between them."""

from __future__ import annotations

import math

import numpy as np

from gradstab.results.results import Results
from tests.science.claims import Claim
from tests.science.crossings import Crossing, crossings

LEVELS = (-1.0, 0.0, 1.0)
# critical init scales of mean-field theory (Schoenholz et al. 2017); measured at sigma_b = .05 throughout, which moves ReLU and sigmoid by less than .1 %
EXPECTED: dict[str, dict[int, tuple[float, float, float]]] = {
    "tanh": {5: (0.612, 1.577, 5.63), 10: (0.846, 1.405, 2.713), 20: (0.959, 1.294, 1.879), 50: (1.029, 1.205, 1.448)},
    "relu": {5: (0.795, 1.414, 2.515), 10: (1.095, 1.414, 1.827), 20: (1.253, 1.414, 1.596), 50: (1.349, 1.414, 1.482)},
    "sigmoid": {5: (3.62, 11.30, 36.3), 10: (6.31, 10.65, 17.99), 20: (8.09, 10.38, 13.33), 50: (9.29, 10.24, 11.29)},
    "gelu": {5: (0.955, 1.432, 2.495), 10: (1.273, 1.441, 1.813), 20: (1.408, 1.469, 1.585), 50: (1.477, 1.490, 1.502)},
}  # fmt: skip
SCALE_TOLERANCE, WIDTH_TOLERANCE, JUMP_WIDTH_TOLERANCE = 0.04, 0.10, 0.25
JUMP = ("gelu", 50)  # a line with a study of its own: its band is 2 % wide


def lines(wide: Results, jump: Results) -> dict[tuple[str, int], list[Crossing] | None]:
    """The three crossings of every activation and depth."""
    found = {}
    for activation, by_depth in EXPECTED.items():
        for depth in by_depth:
            trials = wide.trials
            near = trials[(trials["activation"] == activation) & (trials["depth"] == depth)]
            if (activation, depth) == JUMP:
                near = jump.trials
            scale_N, ratio_N = near["init_scale"].to_numpy(dtype=float), near["R"].to_numpy(dtype=float)
            found[activation, depth] = crossings(scale_N, ratio_N, LEVELS)
    return found


def claims(wide: Results, jump: Results) -> list[Claim]:
    """48 init scales and 16 widths."""
    made = []
    for (activation, depth), found in lines(wide, jump).items():
        expected = EXPECTED[activation][depth]
        title = f"{activation} L={depth}"
        for index, level in enumerate(LEVELS):
            crossing = found[index] if found else None
            made.append(_scale(f"{title}: sigma_w at R = {level:+.0f}", expected[index], crossing))
        tolerance = JUMP_WIDTH_TOLERANCE if (activation, depth) == JUMP else WIDTH_TOLERANCE
        made.append(_width(f"{title}: width ln(s+1/s-1)", math.log(expected[2] / expected[0]), tolerance, found))
    return made


def _scale(title: str, expected: float, found: Crossing | None) -> Claim:
    bound = f"{expected:g} within {SCALE_TOLERANCE:.0%}"
    if found is None:
        return Claim(title, bound, "no crossing", 0, "", False)
    low, high = found.interval
    holds = abs(found.value / expected - 1) <= SCALE_TOLERANCE
    measured = f"{found.value:.4g} ({found.value / expected - 1:+.1%})"
    return Claim(title, bound, measured, found.num_trials, f"{low:.4g} to {high:.4g}", holds)


def _width(title: str, expected: float, tolerance: float, found: list[Crossing] | None) -> Claim:
    bound = f"{expected:.4f} within {tolerance:.0%}"
    if found is None:
        return Claim(title, bound, "no band", 0, "", False)
    width = math.log(found[2].value / found[0].value)
    low, high = np.quantile(np.log(found[2].draw_S / found[0].draw_S), [0.025, 0.975])
    holds = abs(width / expected - 1) <= tolerance
    return Claim(
        title,
        bound,
        f"{width:.4f} ({width / expected - 1:+.1%})",
        found[0].num_trials,
        f"{low:.4f} to {high:.4f}",
        holds,
    )
