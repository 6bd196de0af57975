"""Checks of a surrogate: its noise against that of replicates, and its forecasts against the results.

Axes: N trials, A active trials, G groups of replicates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from gradstab.regression.coordinates import Array
from gradstab.regression.surrogate import Surrogate, noise_weight

NOISE_FACTOR = 2.0  # noises that differ by more do not agree
_SURPRISE = 1e-3  # a forecast counts as at least this sure of each outcome, so that no logarithm is infinite


@dataclass(frozen=True)
class Health:
    """How well a surrogate predicts.

    Attributes:
        response: name of the response.
        fitted_noise: seed-to-seed standard deviation in the surrogate, in units of the response.
        pooled_noise: the same from replicates alone; None without replicates.
        degrees_of_freedom: of pooled_noise: replicates beyond the first of each point.
        coverage: fraction of active trials within the 90 % interval that the other trials predict.
        log_density: mean log density, in warped units, of active trials under that prediction.
        band_score: mean log probability of what happened (in band or not) under that prediction.
        base_score: the same for a forecast that knows only the fraction in band.
        num_predicted: number of active trials predicted in this way.
    """

    response: str
    fitted_noise: float
    pooled_noise: float | None
    degrees_of_freedom: int
    coverage: float
    log_density: float
    band_score: float
    base_score: float
    num_predicted: int

    @property
    def noise_agrees(self) -> bool | None:
        """Whether both noises agree within a factor of 2; None without replicates."""
        if self.pooled_noise is None:
            return None
        return self.pooled_noise <= NOISE_FACTOR * self.fitted_noise <= NOISE_FACTOR**2 * self.pooled_noise


def check_health(surrogate: Surrogate, unit_ND: Array, response_N: ArrayLike) -> Health:
    """The health of a surrogate.

    Args:
        unit_ND: unit coordinates of all trials; trials with equal coordinates are replicates.
        response_N: their responses.
    """
    unit_ND = surrogate.coordinates.snapped(unit_ND)
    value_N = np.asarray(response_N, dtype=np.float64)
    pooled, freedom = pooled_noise(surrogate, unit_ND, value_N)
    mean_A, sd_A = surrogate.leave_one_out()
    warped_A = surrogate.target_A + surrogate.centre
    z_A = (warped_A - mean_A) / sd_A
    inside_A = surrogate.band.contains(surrogate.warp.inverse(warped_A))
    below_A, above_A = (
        ndtr(sign * (float(surrogate.warp(edge)) - mean_A) / sd_A)
        for edge, sign in ((surrogate.band.low, 1), (surrogate.band.high, -1))
    )
    p_A = np.clip(1 - below_A - above_A, _SURPRISE, 1 - _SURPRISE)
    share = min(max(float(inside_A.mean()), _SURPRISE), 1 - _SURPRISE)
    return Health(
        response=surrogate.band.name,
        fitted_noise=surrogate.hyper.noise,
        pooled_noise=pooled,
        degrees_of_freedom=freedom,
        coverage=float((np.abs(z_A) <= ndtri(0.95)).mean()),
        log_density=float(np.mean(-0.5 * z_A**2 - np.log(sd_A) - 0.5 * math.log(2 * math.pi))),
        band_score=float(np.log(np.where(inside_A, p_A, 1 - p_A)).mean()),
        base_score=float(np.log(np.where(inside_A, share, 1 - share)).mean()),
        num_predicted=len(z_A),
    )


def pooled_noise(surrogate: Surrogate, unit_ND: Array, response_N: Array) -> tuple[float | None, int]:
    """Standard deviation over replicates, pooled over points, in units of the response; None without replicates.

    Deviations are in warped units over the slope of the warp, as in the surrogate, so that far responses count little.
    """
    _, group_N = np.unique(unit_ND, axis=0, return_inverse=True)
    count_G = np.bincount(group_N)
    freedom = int((count_G - 1).sum())
    if freedom == 0:
        return None, 0
    warped_N = surrogate.warp(response_N)
    mean_N = (np.bincount(group_N, weights=warped_N) / count_G)[group_N]
    deviation_N = (warped_N - mean_N) / noise_weight(surrogate.warp, surrogate.warp.inverse(mean_N))
    return math.sqrt(float(deviation_N @ deviation_N) / freedom), freedom
