"""Fits a surrogate: chooses the trials that it uses, and its hyper-parameters.

Axes: N trials, A active trials, D axes of the space, F features.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradstab.errors import UsageError
from gradstab.regression import hyperparameters
from gradstab.regression.coordinates import Coordinates
from gradstab.regression.factor import Factor
from gradstab.regression.kernel import Array, HyperParameters, covariance, noisy_factor, scaled
from gradstab.regression.surrogate import Surrogate, checked, noise_weight
from gradstab.regression.warp import warp_for
from gradstab.study.response_band import ResponseBand

MOST_ACTIVE = 2000
_SPACE_FILLING = 300
_PRIOR_SPREAD, _PRIOR_TRIALS = (
    1.5,
    4.0,
)  # spread of responses before any is seen, and how many trials that prior counts as


def fit_surrogate(
    coordinates: Coordinates,
    unit_ND: Array,
    response_N: ArrayLike,
    band: ResponseBand,
    *,
    start: HyperParameters | None = None,
) -> Surrogate:
    """The surrogate of measured trials.

    Hyper-parameters come from at most 500 trials (space-filling ones and others at random), the posterior from at most
    2,000: 300 space-filling ones and those nearest the band's edges by a first posterior of the 500. Choosing them by
    their own responses instead would prefer trials that noise moved there.

    Args:
        unit_ND: unit coordinates of the trials.
        response_N: their responses.
        start: hyper-parameters of an earlier fit, to start from.

    Raises:
        UsageError: there is no trial, or a response is not finite.
    """
    unit_ND = coordinates.snapped(unit_ND)
    value_N = checked(response_N, len(unit_ND), band)
    if len(value_N) == 0:
        raise UsageError(f"a region needs at least one measured trial, got none for {band.name}")
    trials = _Trials(coordinates, band, unit_ND, value_N)
    sample = _hyper_sample(trials.features_NF)
    if start is None:
        start = trials.hyper(sample, None)
    # the weight of a trial follows its expected response, so that noise in the response does not change the weight
    expected_N = trials.conditioned(sample, start).mean(unit_ND)
    trials.smooth(expected_N, start.noise)
    hyper = _unbiased(trials.hyper(sample, start), min(trials.num_places, len(sample)))
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
        self.num_places = len(np.unique(self.features_NF, axis=0))
        self.warp = warp_for(band, len(value_N), coordinates.num_axes)
        warped_N = self.warp(value_N)
        self.centre, self.spread = _centre_and_spread(warped_N, self.warp(band.edges), self.num_places)
        self.target_N = warped_N - self.centre
        self.noise_weight_N = noise_weight(self.warp, value_N)

    def smooth(self, expected_N: Array, noise: float) -> None:
        """Set noise weights, and the shift of noise by the warp's curvature, at the expected responses."""
        response_N = self.warp.inverse(expected_N)
        self.noise_weight_N = noise_weight(self.warp, response_N)
        # E[w(f + noise)] = w(f) + w''(f) noise^2 / 2 where noise is small against the curvature
        self.target_N = self.target_N - 0.5 * min(noise, 0.5 * self.warp.reach) ** 2 * self.warp.curvature(response_N)

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
        factor = Factor.of(noisy_factor(covariance_AA, (hyper.noise * weight_A) ** 2, hyper.signal))
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
            factor=factor,
            whitened_A=factor.solve(target_A),
        )


def _unbiased(hyper: HyperParameters, num_places: int) -> HyperParameters:
    """Hyper-parameters with variances corrected for the k fitted ones: a factor of about 1 + k/n."""
    excess = math.sqrt(1 + len(hyper.log()) / num_places)
    return HyperParameters(hyper.length_scale_D, hyper.signal * excess, hyper.noise * excess)


def space_filling(features_NF: Array, count: int) -> NDArray[np.int64]:
    """Indices of points far from each other: each is the farthest from all before it (Gonzalez 1985)."""
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


def _centre_and_spread(warped_N: Array, edges: Array, num_places: int) -> tuple[float, float]:
    """Mean of warped responses, and how far the response is expected to vary around it.

    Before there are trials, the response is expected to vary around its band. So a few trials that agree do not settle
    the rest of the space, least of all when they lie far from the band. Replicates of a point count once.
    """
    centre = float(warped_N.mean())
    prior_variance = _PRIOR_SPREAD**2 + (centre - float(edges.mean())) ** 2
    variance = (num_places * float(warped_N.var()) + _PRIOR_TRIALS * prior_variance) / (num_places + _PRIOR_TRIALS)
    return centre, math.sqrt(variance)
