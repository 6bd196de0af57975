"""Gaussian-process regression of one signed response: what it is in the median over seeds, and how sure that is.

The warped response of a trial is w(f) = g(x) + noise, with g a Gaussian process around an unknown constant. Seeds
scatter the response itself evenly, so that the noise is multiplied by the slope of the warp. Exact, on the trials that
matter.

Axes: N trials, A active trials, M other points, D axes of the space, F features, S draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_solve, solve_triangular

from pipeline.errors import UsageError
from pipeline.stability import hyperparameters
from pipeline.stability.coordinates import Coordinates
from pipeline.stability.kernel import Array, HyperParameters, covariance, factor, scaled
from pipeline.stability.response_band import ResponseBand, Warp, warp_for

MOST_ACTIVE = 2000
_SPACE_FILLING = 300
_BLOCK = 2048  # points whose covariances with the trials are held at a time
_LEAST_SLOPE = 0.25  # no far response is believed to the last digit, however flat the warp is there
_LARGEST = 1e100
_DRAW_JITTER = 1e-7
_PRIOR_SPREAD, _PRIOR_TRIALS = 1.5, 4.0  # what responses scatter by before any is seen, and what that counts as


class Posterior(NamedTuple):
    """Mean and standard deviation of the latent, warped response at points, shape (M,) each."""

    mean: Array
    sd: Array


@dataclass(frozen=True)
class Surrogate:
    """The posterior of one response. Made by `fit_surrogate`; nothing in it changes.

    Attributes:
        unit_AD: unit coordinates of the active trials, snapped.
        target_A: their warped responses less `centre`.
        noise_weight_A: slope of the warp there.
        centre, spread: mean and standard deviation that the latent response's constant had before the trials.
        lower_AA: Cholesky factor of their covariance.
        whitened_A: lower_AA^-1 target_A.
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
    lower_AA: Array
    whitened_A: Array

    def posterior(self, unit_MD: Array) -> Posterior:
        """What is believed of the median response at points."""
        mean_M, variance_M = np.empty(len(unit_MD)), np.empty(len(unit_MD))
        for start in range(0, len(unit_MD), _BLOCK):
            block = slice(start, start + _BLOCK)
            solved_AB = self.solved(unit_MD[block])
            mean_M[block] = self.centre + self.whitened_A @ solved_AB
            variance_M[block] = self.prior_variance - np.einsum("ab,ab->b", solved_AB, solved_AB)
        return Posterior(mean_M, np.sqrt(np.maximum(variance_M, 0)))

    def mean(self, unit_MD: Array) -> Array:
        """The posterior's mean alone, shape (M,): far cheaper where there are many points."""
        weight_A = solve_triangular(self.lower_AA, self.whitened_A, lower=True, trans="T", check_finite=False)
        mean_M = np.empty(len(unit_MD))
        for start in range(0, len(unit_MD), _BLOCK):
            block = slice(start, start + _BLOCK)
            mean_M[block] = self.centre + self.covariance(unit_MD[block], self.unit_AD) @ weight_A
        return mean_M

    def draws(self, unit_MD: Array, num_draws: int, rng: np.random.Generator) -> Array:
        """Joint draws of the latent, warped response, shape (S, M); cost grows with the cube of M."""
        solved_AM = self.solved(unit_MD)
        covariance_MM = self.covariance(unit_MD, unit_MD) - solved_AM.T @ solved_AM
        # points may coincide, and near trials little is left to draw: the jitter is all that makes this definite
        jitter_M = np.full(len(unit_MD), _DRAW_JITTER * self.prior_variance)
        root_MM = factor(covariance_MM, jitter_M, self.hyper.signal)
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
        """lower_AA^-1 times the covariance of the trials with points, shape (A, M): what posteriors are made of."""
        return np.asarray(
            solve_triangular(self.lower_AA, self.covariance(self.unit_AD, unit_MD), lower=True, check_finite=False)
        )

    def edge_noise(self, edge: float) -> float:
        """Standard deviation of one training around the median, in warped units, at an edge of the band."""
        return self.hyper.noise * max(_LEAST_SLOPE, float(self.warp.slope(edge)))

    def noise_variance(self, noise_weight: ArrayLike) -> Array:
        """Variance of warped responses around the latent one."""
        return (self.hyper.noise * np.asarray(noise_weight, dtype=np.float64)) ** 2

    def extended(self, unit_KD: Array, response_K: ArrayLike | None = None) -> Surrogate:
        """The surrogate with more trials under the same hyper-parameters, the factor extended and not made anew.

        Without responses the trials are pending, and each is taken to turn out as expected (kriging believer): means
        stay, variances shrink.
        """
        unit_KD = self.coordinates.snapped(unit_KD)
        if response_K is None:
            target_K = self.mean(unit_KD) - self.centre
        else:
            target_K = self.warp(_checked(response_K, len(unit_KD), self.band)) - self.centre
        weight_K = noise_weight(self.warp, self.warp.inverse(target_K + self.centre))
        lower_AA, whitened_A = extended_factor(self, unit_KD, weight_K, target_K)
        return replace(
            self,
            num_trials=self.num_trials + len(unit_KD),
            unit_AD=np.concatenate([self.unit_AD, unit_KD]),
            target_A=np.concatenate([self.target_A, target_K]),
            noise_weight_A=np.concatenate([self.noise_weight_A, weight_K]),
            lower_AA=lower_AA,
            whitened_A=whitened_A,
        )

    def leave_one_out(self) -> tuple[Array, Array]:
        """What the other active trials predict of each: mean and standard deviation of its warped response, noise in.

        Source: Rasmussen & Williams 2006, equation 5.12.
        """
        inverse_AA = cho_solve((self.lower_AA, True), np.eye(len(self.target_A)), check_finite=False)
        precision_A = np.diagonal(inverse_AA)
        mean_A = self.target_A - inverse_AA @ self.target_A / precision_A + self.centre
        return np.asarray(mean_A), np.asarray(1 / np.sqrt(precision_A))


def fit_surrogate(
    coordinates: Coordinates,
    unit_ND: Array,
    response_N: ArrayLike,
    band: ResponseBand,
    *,
    start: HyperParameters | None = None,
    refit: bool = True,
) -> Surrogate:
    """The surrogate of measured trials.

    Hyper-parameters come from at most 500 trials (space-filling ones and others at random), the posterior from at most
    2,000: 300 space-filling ones and those nearest the band's edges by a first posterior of the 500. Nearest by their
    own responses would pick those that noise brought there.

    Args:
        unit_ND: unit coordinates of the trials.
        response_N: their responses.
        start: hyper-parameters to start from, of an earlier fit.
        refit: False takes `start` as it is.

    Raises:
        UsageError: there is no trial, or a response is not finite.
    """
    unit_ND = coordinates.snapped(unit_ND)
    value_N = _checked(response_N, len(unit_ND), band)
    if len(value_N) == 0:
        raise UsageError(f"a region needs at least one measured trial, got none for {band.name}")
    trials = _Trials(coordinates, band, unit_ND, value_N)
    sample = _hyper_sample(trials.features_NF)
    if start is None or refit:
        start = trials.hyper(sample, start)
    # what noise did to a response is not to decide how much the trial counts: its expectation does
    expected_N = trials.conditioned(sample, start).mean(unit_ND)
    trials.smooth(expected_N, start.noise)
    hyper = trials.hyper(sample, start) if refit else start
    if len(value_N) <= MOST_ACTIVE:
        return trials.conditioned(np.arange(len(value_N)), hyper)
    distance_N = np.min([np.abs(expected_N - float(trials.warp(edge))) for edge in band.edges], axis=0)
    distance_N[space_filling(trials.features_NF, _SPACE_FILLING)] = -1
    return trials.conditioned(np.argsort(distance_N, kind="stable")[:MOST_ACTIVE], hyper)


class _Trials:
    """All trials of a fit, warped."""

    def __init__(self, coordinates: Coordinates, band: ResponseBand, unit_ND: Array, value_N: Array) -> None:
        self.coordinates, self.band, self.unit_ND = coordinates, band, unit_ND
        self.features_NF = coordinates.features(unit_ND)
        self.warp = warp_for(band, len(value_N), coordinates.num_axes)
        warped_N = self.warp(value_N)
        self.centre, self.spread = _centre_and_spread(warped_N)
        self.target_N = warped_N - self.centre
        self.noise_weight_N = noise_weight(self.warp, value_N)

    def smooth(self, expected_N: Array, noise: float) -> None:
        """Take noise weights, and what the bend of the warp makes of noise, at expected responses; once."""
        response_N = self.warp.inverse(expected_N)
        self.noise_weight_N = noise_weight(self.warp, response_N)
        # E[w(f + noise)] = w(f) + w''(f) noise^2 / 2
        self.target_N = self.target_N - 0.5 * noise**2 * self.warp.curvature(response_N)

    def hyper(self, index: NDArray[np.int64], start: HyperParameters | None) -> HyperParameters:
        """The most probable hyper-parameters of some trials."""
        return hyperparameters.fit(
            self.features_NF[index],
            self.coordinates.axis_F,
            self.coordinates.choice_D,
            self.target_N[index],
            self.noise_weight_N[index],
            self.spread,
            start,
        )

    def conditioned(self, index: NDArray[np.int64], hyper: HyperParameters) -> Surrogate:
        """The posterior of some trials."""
        target_A, weight_A = self.target_N[index], self.noise_weight_N[index]
        scaled_AF = scaled(self.features_NF[index], hyper, self.coordinates.axis_F)
        covariance_AA = covariance(scaled_AF, scaled_AF, hyper.signal) + self.spread**2
        lower_AA = factor(covariance_AA, (hyper.noise * weight_A) ** 2, hyper.signal)
        return Surrogate(
            coordinates=self.coordinates,
            band=self.band,
            warp=self.warp,
            hyper=hyper,
            num_trials=len(self.target_N),
            unit_AD=self.unit_ND[index],
            target_A=target_A,
            noise_weight_A=weight_A,
            centre=self.centre,
            spread=self.spread,
            lower_AA=lower_AA,
            whitened_A=np.asarray(solve_triangular(lower_AA, target_A, lower=True, check_finite=False)),
        )


def extended_factor(model: Surrogate, unit_KD: Array, weight_K: Array, target_K: Array) -> tuple[Array, Array]:
    """Cholesky factor and whitened targets with K rows more: K A^2 operations instead of A^3."""
    num_old, num_new = len(model.target_A), len(unit_KD)
    solved_AK = model.solved(unit_KD)
    rest_KK = model.covariance(unit_KD, unit_KD) - solved_AK.T @ solved_AK
    corner_KK = factor(rest_KK, model.noise_variance(weight_K), model.hyper.signal)
    lower = np.zeros((num_old + num_new, num_old + num_new), order="F")
    lower[:num_old, :num_old] = model.lower_AA
    lower[num_old:, :num_old] = solved_AK.T
    lower[num_old:, num_old:] = corner_KK
    whitened_K = solve_triangular(corner_KK, target_K - model.whitened_A @ solved_AK, lower=True, check_finite=False)
    return lower, np.concatenate([model.whitened_A, whitened_K])


def noise_weight(warp: Warp, response_N: Array) -> Array:
    """What the noise of responses is multiplied by when they are warped."""
    return np.maximum(warp.slope(response_N), _LEAST_SLOPE)


def space_filling(features_NF: Array, count: int) -> NDArray[np.int64]:
    """Indices of points that lie far from each other: each is the farthest from those before (Gonzalez 1985)."""
    distance_N = ((features_NF - features_NF.mean(axis=0)) ** 2).sum(axis=1)
    chosen = [int(np.argmin(distance_N))]
    distance_N = ((features_NF - features_NF[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < min(count, len(features_NF)) and distance_N.max() > 0:
        chosen.append(int(np.argmax(distance_N)))
        np.minimum(distance_N, ((features_NF - features_NF[chosen[-1]]) ** 2).sum(axis=1), out=distance_N)
    return np.array(chosen)


def _hyper_sample(features_NF: Array) -> NDArray[np.int64]:
    """At most 500 trials, half of them space-filling; shuffled, so that a prefix is a fair sample."""
    rng = np.random.default_rng(0)
    if len(features_NF) <= hyperparameters.MOST_TRIALS:
        return rng.permutation(len(features_NF))
    spread_out = space_filling(features_NF, hyperparameters.MOST_TRIALS // 2)
    others = np.setdiff1d(np.arange(len(features_NF)), spread_out)
    picked = rng.choice(others, hyperparameters.MOST_TRIALS - len(spread_out), replace=False)
    return rng.permutation(np.concatenate([spread_out, picked]))


def _centre_and_spread(warped_N: Array) -> tuple[float, float]:
    """Mean and standard deviation of warped responses; few or equal ones leave some of what was believed before."""
    count = len(warped_N)
    variance = (count * float(warped_N.var()) + _PRIOR_TRIALS * _PRIOR_SPREAD**2) / (count + _PRIOR_TRIALS)
    return float(warped_N.mean()), math.sqrt(variance)


def _checked(response_N: ArrayLike, count: int, band: ResponseBand) -> Array:
    value_N = np.asarray(response_N, dtype=np.float64)
    if value_N.shape != (count,):
        raise UsageError(f"responses must be one a trial, got {value_N.shape} for {count} trials")
    wrong = np.flatnonzero(~(np.abs(value_N) < _LARGEST))
    if len(wrong):
        raise UsageError(
            f"response {band.name} must be finite, got {value_N[wrong[0]]} at row {wrong[0]}: "
            "judge a trajectory first, or leave out trials whose machine failed"
        )
    return value_N
