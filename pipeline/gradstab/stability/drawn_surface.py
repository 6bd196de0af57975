"""Joint draws of what the true surface of a study may be, and how stable one new training is on each of them.

The draws are wider than the posterior says, since fitted hyper-parameters hide uncertainty. Axes: S draws, M points,
A trials.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri, ndtr

from gradstab.regression.coordinates import Array
from gradstab.regression.single_threaded_blas import single_threaded_blas
from gradstab.regression.surrogate import Surrogate
from gradstab.stability.estimator import Estimator
from gradstab.stability.region import WIDENING

NUM_DRAWS = 400
_NEAR, _LEAST_NEAR = 2.0, 4  # in units of the response; trials


class DrawnSurface:
    """Joint draws of the latent responses at points of the space."""

    @single_threaded_blas
    def __init__(self, estimator: Estimator, unit_MD: Array) -> None:
        rng = np.random.default_rng(0)
        unit_MD = estimator.coordinates.snapped(unit_MD)
        self.responses = [DrawnResponse.at(surrogate, unit_MD, rng) for surrogate in estimator.surrogates]

    def stable(self, *, times: float = 1.0) -> Array:
        """Probability that one new training lies in every band, for each draw; shape (S, M).

        Args:
            times: shrink what is uncertain as `times` as many trials would, by the square root.
        """
        return np.asarray(np.prod([drawn.stable(times) for drawn in self.responses], axis=0))


@dataclass(frozen=True)
class DrawnResponse:
    """Joint draws of one response.

    Attributes:
        mean_M, deviation_SM: the mean of the warped median, and what each draw adds to it.
        noise_S1: factor of the seed-to-seed standard deviation, which is known from few trials only.
    """

    surrogate: Surrogate
    mean_M: Array
    deviation_SM: Array
    noise_S1: Array

    @classmethod
    def at(cls, surrogate: Surrogate, unit_MD: Array, rng: np.random.Generator) -> DrawnResponse:
        """Draws at points."""
        mean_M = surrogate.posterior(unit_MD).mean
        deviation_SM = WIDENING * (surrogate.draws(unit_MD, NUM_DRAWS, rng) - mean_M)
        value_A = surrogate.target_A + surrogate.centre
        edges = surrogate.warp(np.array(surrogate.band.edges))[:, None]
        num_near = int((np.abs(value_A - edges) < _NEAR).any(axis=0).sum())
        # the relative error of a standard deviation from n values is 1 / sqrt(2 n)
        spread = 1 / np.sqrt(2 * max(_LEAST_NEAR, num_near))
        return cls(surrogate, mean_M, deviation_SM, np.exp(spread * rng.standard_normal((NUM_DRAWS, 1))))

    def stable(self, times: float) -> Array:
        """Probability that one new training lies in band, for each draw, with `times` as many trials; shape (S, M)."""
        warped_SM = self.mean_M + self.deviation_SM / np.sqrt(times)
        noise_S1 = self.noise_S1 ** (1 / np.sqrt(times))
        p_SM = np.ones_like(warped_SM)
        band = self.surrogate.band
        for edge, sign in ((band.low, 1.0), (band.high, -1.0)):
            if np.isfinite(edge):
                sd_S1 = noise_S1 * max(self.surrogate.edge_noise(edge), 1e-12)
                p_SM -= ndtr(sign * (float(self.surrogate.warp(edge)) - warped_SM) / sd_S1)
        return np.asarray(np.maximum(p_SM, 0))


def missed_nearby(surrogate: Surrogate, unit_D: Array) -> float:
    """By how much the model misses the trials nearest to a point without having seen them, beyond what it expects.

    It is a root mean square in warped units, and 0 where the misses are no larger than chance makes them. A model that
    smooths out a cliff misses the trials on both sides of it by half of its height.
    """
    correlation_A = surrogate.covariance(surrogate.unit_AD, unit_D[None])[:, 0]
    nearest = np.argsort(-correlation_A, kind="stable")[:_LEAST_NEAR]
    mean_A, sd_A = surrogate.leave_one_out()
    error_N = (surrogate.target_A + surrogate.centre - mean_A)[nearest]
    square = float(np.mean((error_N / sd_A[nearest]) ** 2))
    expected = float(chdtri(len(nearest), 0.05)) / len(nearest)
    return float(np.sqrt(np.mean(error_N**2) * max(0.0, 1 - expected / max(square, 1e-12))))
