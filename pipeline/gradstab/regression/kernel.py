"""Matern-5/2 covariance with one length-scale an axis, and its marginal likelihood with gradients.

Axes: N trials, M other points, F features, D axes of the space.
Source: Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, equations 4.17, 5.8 and 5.9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, lapack

from gradstab.regression.factor import lower_factor

Array = NDArray[np.float64]
JITTER = 1e-8  # of the signal's variance; keeps the factorisation possible where trials repeat


@dataclass(frozen=True)
class HyperParameters:
    """The hyper-parameters of the covariance.

    Attributes:
        length_scale_D: distance in unit coordinates over which the response changes; for a choice, 1 over the distance
            between two of its values.
        signal: standard deviation of the latent response, in warped units.
        noise: seed-to-seed standard deviation, in units of the response, unwarped.
    """

    length_scale_D: Array
    signal: float
    noise: float

    def log(self) -> Array:
        """Logarithms of all hyper-parameters, shape (D + 2,)."""
        return np.log([*self.length_scale_D, self.signal, self.noise])

    @staticmethod
    def from_log(log_value: Array) -> HyperParameters:
        """The inverse of log()."""
        value = np.exp(log_value)
        return HyperParameters(value[:-2], float(value[-2]), float(value[-1]))


def scaled(features_NF: Array, hyper: HyperParameters, axis_F: NDArray[np.int64]) -> Array:
    """Features divided by the length-scale of their axis."""
    return np.asarray(features_NF / hyper.length_scale_D[axis_F])


def covariance(scaled_NF: Array, scaled_MF: Array, signal: float) -> Array:
    """Covariance of the latent response between points, shape (N, M): s^2 (1 + t + t^2/3) exp(-t), t = sqrt(5) r."""
    t_NM = np.sqrt(5 * _squared_distance(scaled_NF, scaled_MF))
    decay_NM = np.exp(-t_NM)
    decay_NM *= signal * signal
    decay_NM *= 1 + t_NM * (1 + t_NM / 3)
    return decay_NM


def noisy_factor(covariance_NN: Array, noise_variance_N: Array, signal: float) -> Array:
    """Lower Cholesky factor of covariance + noise (and jitter); the covariance is overwritten."""
    covariance_NN[np.diag_indices_from(covariance_NN)] += noise_variance_N + JITTER * signal * signal
    return lower_factor(covariance_NN)


class MarginalLikelihood:
    """-log p(y | hyper-parameters) of warped, centred responses, and its gradient in log hyper-parameters.

    Args:
        features_NF: features of the trials.
        axis_F: axis of each feature.
        target_N: warped responses minus the prior mean.
        noise_weight_N: slope of the warp at each response; the noise is multiplied by it.
        mean_spread: standard deviation of the unknown constant mean, which is integrated out.
    """

    def __init__(
        self,
        features_NF: Array,
        axis_F: NDArray[np.int64],
        target_N: Array,
        noise_weight_N: Array,
        mean_spread: float,
    ) -> None:
        self._features_NF, self._axis_F, self._target_N = features_NF, axis_F, target_N
        self._noise_weight_N, self._mean_spread = noise_weight_N, mean_spread

    def __call__(self, log_value: Array) -> tuple[float, Array]:
        """Value and gradient at log hyper-parameters; (inf, 0) where the covariance cannot be factorised."""
        hyper = HyperParameters.from_log(log_value)
        scaled_NF = scaled(self._features_NF, hyper, self._axis_F)
        t_NN = np.sqrt(5 * _squared_distance(scaled_NF, scaled_NF))
        decay_NN = hyper.signal**2 * np.exp(-t_NN)
        signal_NN = decay_NN * (1 + t_NN * (1 + t_NN / 3))
        noise_N = (hyper.noise * self._noise_weight_N) ** 2
        try:
            lower_NN = noisy_factor(signal_NN + self._mean_spread**2, noise_N, hyper.signal)
        except np.linalg.LinAlgError:
            return math.inf, np.zeros_like(log_value)
        alpha_N = cho_solve((lower_NN, True), self._target_N, check_finite=False)
        value = (
            0.5 * float(self._target_N @ alpha_N)
            + float(np.log(np.diagonal(lower_NN)).sum())
            + 0.5 * len(alpha_N) * math.log(2 * math.pi)
        )
        inverse_NN = _inverse(lower_NN)
        # dvalue / dK
        slope_NN = 0.5 * (inverse_NN - np.outer(alpha_N, alpha_N))
        gradient = np.empty_like(log_value)
        # dk / d(r^2) = -5/6 s^2 (1 + t) exp(-t); r^2 falls as length-scale^-2
        weight_NN = slope_NN * decay_NN * (1 + t_NN) * (-5 / 6)
        squared_F = 2 * (weight_NN.sum(axis=1) @ scaled_NF**2 - (scaled_NF * (weight_NN @ scaled_NF)).sum(axis=0))
        gradient[:-2] = -2 * np.bincount(self._axis_F, weights=squared_F, minlength=len(log_value) - 2)
        diagonal_N = np.diagonal(slope_NN)
        gradient[-2] = 2 * (float((slope_NN * signal_NN).sum()) + JITTER * hyper.signal**2 * float(diagonal_N.sum()))
        gradient[-1] = 2 * float(diagonal_N @ noise_N)
        return value, gradient


def _squared_distance(a_NF: Array, b_MF: Array) -> Array:
    squared_NM = a_NF @ (-2 * b_MF.T)
    squared_NM += (a_NF * a_NF).sum(axis=1)[:, None]
    squared_NM += (b_MF * b_MF).sum(axis=1)
    return np.maximum(squared_NM, 0, out=squared_NM)  # a difference of large numbers: rounding may make it negative


def _inverse(lower_NN: Array) -> Array:
    """Inverse of L L^T."""
    inverse_NN, _ = lapack.dpotri(lower_NN, lower=1)
    both_NN: Array = inverse_NN + inverse_NN.T  # the factor is zero above the diagonal, and LAPACK keeps it so
    both_NN[np.diag_indices_from(both_NN)] *= 0.5
    return both_NN
