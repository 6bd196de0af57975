"""Gaussian-process regression of one signed response: its median over seeds, and how certain that is.

The warped response of a trial is w(f) = g(x) + noise, with g a Gaussian process around an unknown constant. The
response itself scatters evenly over seeds, so that the noise is multiplied by the slope of the warp. The posterior is
exact for the active trials.

Axes: N trials, A active trials, M other points, D axes of the space, F features, S draws.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gradstab.errors import UsageError
from gradstab.regression.coordinates import Coordinates
from gradstab.regression.factor import Factor
from gradstab.regression.kernel import Array, HyperParameters, covariance, noisy_factor, scaled
from gradstab.regression.warp import Warp
from gradstab.study.response_band import ResponseBand

_REMEMBERED = 8  # posteriors: the region of two responses asks for those of each again
_BLOCK = 2048  # points per block, so that memory stays bounded
_LEAST_SLOPE = 0.25  # least weight: no far response is exact, however flat the warp is there
_LARGEST = 1e100
_DRAW_JITTER = 1e-7


class Posterior(NamedTuple):
    """Mean and standard deviation of the latent, warped response at points, shape (M,) each."""

    mean: Array
    sd: Array


@dataclass(frozen=True)
class Surrogate:
    """The posterior of one response, immutable. `fitting.fit_surrogate` makes it.

    Attributes:
        unit_AD: unit coordinates of the active trials, snapped.
        target_A: their warped responses minus `centre`.
        noise_weight_A: slope of the warp at their responses.
        centre, spread: prior mean and standard deviation of the latent response's constant.
        factor: Cholesky factor L of their covariance.
        whitened_A: L^-1 target_A.
    """

    coordinates: Coordinates
    band: ResponseBand
    warp: Warp
    hyper: HyperParameters
    num_trials: int
    unit_AD: Array
    target_A: Array
    noise_weight_A: Array
    centre: float
    spread: float
    factor: Factor
    whitened_A: Array
    _known: dict[bytes, Posterior] = field(default_factory=dict, init=False, repr=False, compare=False)

    def posterior(self, unit_MD: Array) -> Posterior:
        """The posterior of the median response at points. The last few are remembered."""
        key = unit_MD.tobytes()
        if key not in self._known:
            while len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[key] = self._posterior(unit_MD)
        return self._known[key]

    def _posterior(self, unit_MD: Array) -> Posterior:
        mean_M, variance_M = np.empty(len(unit_MD)), np.empty(len(unit_MD))
        for start in range(0, len(unit_MD), _BLOCK):
            block = slice(start, start + _BLOCK)
            solved_AB = self.solved(unit_MD[block])
            mean_M[block] = self.centre + self.whitened_A @ solved_AB
            variance_M[block] = self.prior_variance - np.einsum("ab,ab->b", solved_AB, solved_AB)
        return Posterior(mean_M, np.sqrt(np.maximum(variance_M, 0)))

    def mean(self, unit_MD: Array) -> Array:
        """The mean of the posterior alone, shape (M,); much cheaper for many points."""
        weight_A = self.factor.solve_transposed(self.whitened_A)
        mean_M = np.empty(len(unit_MD))
        for start in range(0, len(unit_MD), _BLOCK):
            block = slice(start, start + _BLOCK)
            mean_M[block] = self.centre + self.covariance(unit_MD[block], self.unit_AD) @ weight_A
        return mean_M

    def draws(self, unit_MD: Array, num_draws: int, rng: np.random.Generator) -> Array:
        """Joint draws of the latent, warped response, shape (S, M); cost grows with the cube of M."""
        solved_AM = self.solved(unit_MD)
        covariance_MM = self.covariance(unit_MD, unit_MD) - solved_AM.T @ solved_AM
        # points may coincide, and variances near trials are tiny: only the jitter makes the matrix definite
        jitter_M = np.full(len(unit_MD), _DRAW_JITTER * self.prior_variance)
        root_MM = noisy_factor(covariance_MM, jitter_M, self.hyper.signal)
        mean_M = self.centre + self.whitened_A @ solved_AM
        return np.asarray(mean_M + rng.standard_normal((num_draws, len(unit_MD))) @ root_MM.T)

    @property
    def prior_variance(self) -> float:
        """Variance of the latent response anywhere, before any trial."""
        return self.hyper.signal**2 + self.spread**2

    def covariance(self, unit_ND: Array, unit_MD: Array) -> Array:
        """Prior covariance of the latent response between points, the unknown constant included; shape (N, M)."""
        axis_F = self.coordinates.axis_F
        scaled_NF = scaled(self.coordinates.features(unit_ND), self.hyper, axis_F)
        scaled_MF = scaled(self.coordinates.features(unit_MD), self.hyper, axis_F)
        return covariance(scaled_NF, scaled_MF, self.hyper.signal) + self.spread**2

    def solved(self, unit_MD: Array) -> Array:
        """L^-1 times the covariance of the trials with points, shape (A, M)."""
        return self.factor.solve(self.covariance(self.unit_AD, unit_MD))

    def edge_noise(self, edge: float) -> float:
        """Standard deviation of one training around the median, in warped units, at an edge of the band."""
        return self.hyper.noise * max(_LEAST_SLOPE, float(self.warp.slope(edge)))

    def noise_variance(self, noise_weight: ArrayLike) -> Array:
        """Variance of warped responses around the latent one."""
        return (self.hyper.noise * np.asarray(noise_weight, dtype=np.float64)) ** 2

    def extended(self, unit_KD: Array, response_K: ArrayLike | None = None) -> Surrogate:
        """A surrogate with more trials and the same hyper-parameters; its factor is extended, not recomputed.

        Trials without responses are pending: each is assumed to turn out as expected (kriging believer), so that means
        stay and variances shrink.
        """
        unit_KD = self.coordinates.snapped(unit_KD)
        solved_AK = self.solved(unit_KD)
        expected_K = self.whitened_A @ solved_AK
        target_K = expected_K
        if response_K is not None:
            target_K = self.warp(checked(response_K, len(unit_KD), self.band)) - self.centre
        weight_K = noise_weight(self.warp, self.warp.inverse(target_K + self.centre))
        rest_KK = self.covariance(unit_KD, unit_KD) - solved_AK.T @ solved_AK
        corner_KK = noisy_factor(rest_KK, self.noise_variance(weight_K), self.hyper.signal)
        whitened_K = Factor.of(corner_KK).solve(target_K - expected_K)
        return replace(
            self,
            num_trials=self.num_trials + len(unit_KD),
            unit_AD=np.concatenate([self.unit_AD, unit_KD]),
            target_A=np.concatenate([self.target_A, target_K]),
            noise_weight_A=np.concatenate([self.noise_weight_A, weight_K]),
            factor=self.factor.grown(solved_AK.T, corner_KK),
            whitened_A=np.concatenate([self.whitened_A, whitened_K]),
        )

    def leave_one_out(self) -> tuple[Array, Array]:
        """For each active trial, mean and standard deviation (noise included) predicted by the other active trials.

        Source: Rasmussen & Williams 2006, equation 5.12.
        """
        return self._left_out

    @cached_property
    def _left_out(self) -> tuple[Array, Array]:
        precision_A = (self.factor.solve(np.eye(len(self.factor))) ** 2).sum(axis=0)
        weight_A = self.factor.solve_transposed(self.whitened_A)
        return self.target_A - weight_A / precision_A + self.centre, 1 / np.sqrt(precision_A)


def noise_weight(warp: Warp, response_N: Array) -> Array:
    """The factor by which warping multiplies the noise of responses."""
    return np.maximum(warp.slope(response_N), _LEAST_SLOPE)


def checked(response_N: ArrayLike, count: int, band: ResponseBand) -> Array:
    """Responses as an array.

    Raises:
        UsageError: there is not one per trial, or one of them is not finite.
    """
    value_N = np.asarray(response_N, dtype=np.float64)
    if value_N.shape != (count,):
        raise UsageError(f"there must be one response per trial, got shape {value_N.shape} for {count} trials")
    wrong = np.flatnonzero(~(np.abs(value_N) < _LARGEST))
    if len(wrong):
        raise UsageError(
            f"response {band.name} must be finite, got {value_N[wrong[0]]} at row {wrong[0]}: "
            "judge a trajectory first, or leave out trials whose machine failed"
        )
    return value_N
