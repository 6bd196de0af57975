"""A response and the interval it must lie in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradstab.errors import UsageError
from gradstab.study.criterion import TRAINING_RESPONSE_RANGE, TRAINING_RESPONSE_UNIT, Criterion


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
