"""What one wide random layer does to lengths, gradients and correlations.

Lengths q are mean squares of pre-activations. Sources: Poole et al. 2016, Schoenholz et al. 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from gradstab.activations.activation import Array, ScalarFunction
from gradstab.activations.registry import as_function
from gradstab.errors import UsageError
from gradstab.theory.quadrature import gaussian_mean, gaussian_pair_mean, log_table

LOG_Q_LIMIT = (
    60.0  # |ln q| beyond which every moment is a power of q to 1e-12: limits q -> 0 and infinity are read here
)
_TABLE_STEP = 0.125
_LEAST_MEAN = 1e-300  # replaces means that underflow where a function is flat around 0
_SMALLEST_SLOPE_Q = 1e-16  # phi phi' z / sqrt(q) is all cancellation below

Activation = str | ScalarFunction


def length_map(activation: Activation, init_scale: float, bias_scale: float, q: float) -> float:
    """q' = sigma_w^2 E[phi(sqrt(q) z)^2] + sigma_b^2: the mean square of the next layer's pre-activations."""
    function = as_function(activation)
    return init_scale**2 * _mean(function, lambda u: function.phi(u) ** 2, q) + bias_scale**2


def chi_1(activation: Activation, init_scale: float, q: float) -> float:
    """sigma_w^2 E[phi'(sqrt(q) z)^2]: the factor of squared gradients through a layer of length q, toward the input.

    q = 0 and infinity give the limits.
    """
    function = as_function(activation)
    return init_scale**2 * _mean(function, lambda u: function.derivative(u) ** 2, q)


def chi_parallel(activation: Activation, init_scale: float, q: float) -> float:
    """dq'/dq = sigma_w^2 E[phi phi' z] / sqrt(q): below 1 a fixed length attracts. q = 0 gives the limit."""
    function = as_function(activation)
    q = min(max(q, _SMALLEST_SLOPE_Q), math.exp(LOG_Q_LIMIT))
    return init_scale**2 * _mean(function, lambda u: function.phi(u) * function.derivative(u) * u, q) / q


def kappa(activation: Activation, q: float) -> float:
    """E[phi'^4] / E[phi'^2]^2, which sets the spread of R at finite width: Var[ln(G_1/G_L)] = (L-1)(3 kappa - 1)/n.

    Infinite where the derivative is zero. Source: Hanin & Nica 2019.
    """
    function = as_function(activation)
    second = _mean(function, lambda u: function.derivative(u) ** 2, q)
    return _mean(function, lambda u: function.derivative(u) ** 4, q) / second**2 if second else math.inf


def correlation_map(
    activation: Activation, init_scale: float, bias_scale: float, q: float, correlation: float
) -> float:
    """Correlation of two inputs after a layer, both of the fixed length q."""
    function = as_function(activation)
    if correlation == 1:
        return length_map(function, init_scale, bias_scale, q) / q
    return (init_scale**2 * gaussian_pair_mean(function.phi, q, correlation, function.kinks) + bias_scale**2) / q


def correlation_slope(activation: Activation, init_scale: float, q: float, correlation: float) -> float:
    """chi at a correlation: the slope of the correlation map; chi_1 where the correlation is 1."""
    function = as_function(activation)
    if correlation == 1:
        return chi_1(function, init_scale, q)
    return init_scale**2 * gaussian_pair_mean(function.derivative, q, correlation, function.kinks)


class LayerMaps:
    """The length map and chi_1 of one activation in logarithms, which do not overflow, from tables, for many q at once.

    They agree with length_map and chi_1 to 1e-10 for |ln q| < 60, and follow their power laws beyond.
    """

    def __init__(self, function: ScalarFunction) -> None:
        log_q_G = np.arange(-LOG_Q_LIMIT, LOG_Q_LIMIT + _TABLE_STEP / 2, _TABLE_STEP)
        # in parts, because a part of small lengths needs fewer nodes
        parts = np.array_split(np.exp(log_q_G), 16)

        def table(integrand: Callable[[Array], Array]) -> Callable[[Array], Array]:
            with np.errstate(over="ignore", invalid="ignore"):
                mean_G = np.concatenate([gaussian_mean(integrand, part, function.kinks) for part in parts])
            if not np.isfinite(mean_G).all():
                raise UsageError(
                    f"an activation must grow no faster than a power of its input, but {function.name} or its "
                    f"derivative overflows at inputs near {math.exp(log_q_G[~np.isfinite(mean_G)][0] / 2):.3g}"
                )
            return log_table(log_q_G, np.log(np.maximum(mean_G, _LEAST_MEAN)))

        self._log_square = table(lambda u: function.phi(u) ** 2)
        self._log_slope_square = table(lambda u: function.derivative(u) ** 2)

    def log_mean_square(self, log_q: Array) -> Array:
        """ln E[phi^2] at ln q."""
        return self._log_square(log_q)

    def log_length(self, log_init_scale: Array, bias_scale: float, log_q: Array) -> Array:
        """ln q' at ln sigma_w and ln q, which broadcast."""
        return add_bias(2 * log_init_scale + self._log_square(log_q), bias_scale)

    def log_chi_1(self, log_init_scale: Array, log_q: Array) -> Array:
        """ln chi_1 at ln sigma_w and ln q, which broadcast."""
        return np.asarray(2 * log_init_scale + self._log_slope_square(log_q))


def add_bias(log_q: Array, bias_scale: float) -> Array:
    """ln(q + sigma_b^2)."""
    return np.asarray(np.logaddexp(log_q, 2 * math.log(bias_scale))) if bias_scale > 0 else log_q


@lru_cache(maxsize=64)
def layer_maps(function: ScalarFunction) -> LayerMaps:
    """The tabulated maps of an activation, made once."""
    return LayerMaps(function)


def _mean(function: ScalarFunction, integrand: Callable[[Array], Array], q: float) -> float:
    limit = math.exp(LOG_Q_LIMIT)
    return float(gaussian_mean(integrand, np.array([min(max(q, 1 / limit), limit)]), function.kinks)[0])
