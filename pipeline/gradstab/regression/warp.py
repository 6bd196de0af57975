"""The warp under which responses are regressed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradstab.study.response_band import ResponseBand

Array = NDArray[np.float64]
WIDE_WARP_TRIALS = 25  # trials per axis from which on far responses are told apart


@dataclass(frozen=True)
class Warp:
    """w(f) = s unit asinh(f / (s unit)) in units of the response: linear near 0, logarithmic far away.

    It is monotone, so that the probability of a band and the median over seeds stay the same.
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
        """The response whose warped value is given."""
        return np.asarray(self.reach * self.unit * np.sinh(np.asarray(warped, dtype=np.float64) / self.reach))


def warp_for(band: ResponseBand, num_trials: int, num_axes: int) -> Warp:
    """asinh(f) for few trials, whose far responses would mislead; 10 asinh(f / 10) from 25 trials per axis on."""
    return Warp(band.unit, 10.0 if num_trials >= WIDE_WARP_TRIALS * num_axes else 1.0)
