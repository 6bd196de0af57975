"""A response and the interval it must lie in, and the warp under which responses are regressed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradstab.errors import UsageError
from gradstab.stability.judgement import TRAINING_RESPONSE_RANGE, TRAINING_RESPONSE_UNIT, Criterion

Array = NDArray[np.float64]
WIDE_WARP_TRIALS = 25  # trials an axis from which far responses are told apart


@dataclass(frozen=True)
class ResponseBand:
    """The open interval (low, high) that a finite signed response must lie in; either end may be infinite.

    Attributes:
        name: the response.
        unit: the change that counts as one; makes responses comparable.
        low_side, high_side: what lies below and above the band, in a word; "" where that end is infinite.
        diverged_from: above it the response stands for a training that became non-finite; None if it never does.

    Raises:
        UsageError: the interval is empty or unbounded, or the unit not positive.
    """

    name: str
    low: float
    high: float
    unit: float
    low_side: str = ""
    high_side: str = ""
    diverged_from: float | None = None

    def __post_init__(self) -> None:
        if not self.low < self.high or (math.isinf(self.low) and math.isinf(self.high)):
            raise UsageError(
                f"band of {self.name} must be an interval with a finite end, got ({self.low}, {self.high})"
            )
        if not 0 < self.unit < math.inf:
            raise UsageError(f"unit of {self.name} must be positive and finite, got {self.unit}")

    @property
    def edges(self) -> tuple[float, ...]:
        """The finite ends."""
        return tuple(edge for edge in (self.low, self.high) if math.isfinite(edge))

    def contains(self, response: ArrayLike) -> NDArray[np.bool_]:
        """Whether responses lie in the band; NaN does not."""
        value = np.asarray(response, dtype=np.float64)
        return np.asarray((value > self.low) & (value < self.high))


def response_bands(criterion: Criterion, steps: int) -> tuple[ResponseBand, ...]:
    """The bands of SCIENCE section 4 that count for trainings of `steps` steps."""
    ratio = criterion.ratio_band
    known = {
        "R": ResponseBand("R", -ratio, ratio, ratio, "vanishing", "exploding"),
        "R_worst": ResponseBand("R_worst", -ratio, ratio, ratio, "vanishing", "exploding"),
        "T": ResponseBand(
            "T",
            -math.inf,
            0.0,
            TRAINING_RESPONSE_UNIT,
            high_side="untrained",
            diverged_from=TRAINING_RESPONSE_RANGE[1],
        ),
    }
    return tuple(known[name] for name in criterion.responses_for(steps))


@dataclass(frozen=True)
class Warp:
    """w(f) = s unit asinh(f / (s unit)) in units of the response: near 0 as it is, far off logarithmic.

    Monotone, so that the probability of a band is the same before and after, and so is the median over seeds.
    """

    unit: float
    reach: float

    def __call__(self, response: ArrayLike) -> Array:
        return np.asarray(self.reach * np.arcsinh(np.asarray(response, dtype=np.float64) / (self.reach * self.unit)))

    def slope(self, response: ArrayLike) -> Array:
        """dw / d(f / unit), in (0, 1]."""
        far = np.asarray(response, dtype=np.float64) / (self.reach * self.unit)
        return np.asarray(1 / np.hypot(1, far))

    def curvature(self, response: ArrayLike) -> Array:
        """d^2 w / d(f / unit)^2."""
        far = np.asarray(response, dtype=np.float64) / (self.reach * self.unit)
        return np.asarray(-far / self.reach * self.slope(response) ** 3)

    def inverse(self, warped: ArrayLike) -> Array:
        """The response that is warped to a value."""
        return np.asarray(self.reach * self.unit * np.sinh(np.asarray(warped, dtype=np.float64) / self.reach))


def warp_for(band: ResponseBand, num_trials: int, num_axes: int) -> Warp:
    """asinh(f) for few trials, whose far responses would mislead; 10 asinh(f / 10) from 25 trials an axis on."""
    return Warp(band.unit, 10.0 if num_trials >= WIDE_WARP_TRIALS * num_axes else 1.0)
