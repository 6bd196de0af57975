"""The interval in which a response must lie, as regression and regions use it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradstab.errors import UsageError
from gradstab.study.criterion import Criterion
from gradstab.study.responses.registry import RESPONSES


@dataclass(frozen=True)
class ResponseBand:
    """The open interval (low, high) in which a finite signed response must lie; either end may be infinite.

    Attributes:
        name: letter of the response.
        unit: the change that counts as one; it makes responses comparable.
        low_side, high_side: what lies below and above the band, in one word; "" where that end is infinite.
        diverged_from: above it the response stands for a training that became non-finite; None if it never does.

    Raises:
        UsageError: the interval is empty, or neither end is finite, or the unit is not positive.
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
    """The bands that count for trainings of `steps` steps."""
    return tuple(band_of(letter, criterion) for letter in criterion.responses_for(steps))


def band_of(letter: str, criterion: Criterion) -> ResponseBand:
    """The band of a response under a criterion."""
    response = RESPONSES[letter]
    low, high = response.band(criterion)
    return ResponseBand(
        name=letter,
        low=low,
        high=high,
        unit=response.unit(criterion),
        low_side=response.low_side,
        high_side=response.high_side,
        diverged_from=response.diverged_from,
    )
