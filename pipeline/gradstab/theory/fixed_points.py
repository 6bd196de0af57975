"""Fixed lengths and correlations of a deep network: where the layer maps lead, and how fast.

Axes: M init scales, G grid of ln q.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gradstab.activations.activation import Array, ScalarFunction
from gradstab.activations.registry import as_function
from gradstab.theory.layer_maps import (
    LOG_Q_LIMIT,
    Activation,
    add_bias,
    chi_1,
    chi_parallel,
    correlation_map,
    correlation_slope,
    kappa,
    layer_maps,
)

GRID_STEP = 0.05
ROUNDING = 1e-9  # a relative growth q'/q - 1 below this may be error of the tables
_NEARLY_ONE = tuple(1 - 10.0**-digits for digits in range(7, 0, -1))  # correlations below which a fixed one is sought


@dataclass(frozen=True)
class FixedPoint:
    """A length that a layer maps to itself, and the rates there.

    Attributes:
        q: the length; 0 and infinity are limits, 1 stands for every length where the kind is "every".
        kind: "every" where the map is the identity (linear at sigma_w = 1, ReLU at sqrt 2).
        stable: whether nearby lengths return to it.
        chi_1: factor by which a layer multiplies squared gradients.
        chi_parallel: factor by which a layer multiplies small deviations of the length.
        kappa: spread of squared derivatives (layer_maps.kappa).
    """

    q: float
    kind: Literal["zero", "finite", "infinite", "every"]
    stable: bool
    chi_1: float
    chi_parallel: float
    kappa: float

    @property
    def gradient_factor(self) -> float:
        """Factor by which a layer multiplies the gradient norm on its way to the input."""
        return math.sqrt(self.chi_1)

    @property
    def xi_gradient(self) -> float:
        """Layers in which squared gradients change by a factor e; infinite at criticality."""
        return _depth_scale(self.chi_1)

    @property
    def xi_length(self) -> float | None:
        """Layers in which deviations of the length shrink by a factor e; None where they do not shrink."""
        if self.kind == "every":
            return math.inf
        return _depth_scale(self.chi_parallel) if self.stable and self.kind != "infinite" else None


@dataclass(frozen=True)
class CorrelationFixedPoint:
    """The correlation that two inputs approach, and the depth scale xi_c at which they do."""

    correlation: float
    chi: float

    @property
    def xi(self) -> float:
        """Layers in which deviations shrink by e, infinite at criticality. Networks train to about 6 times as many."""
        return _depth_scale(self.chi)


def fixed_points(activation: Activation, init_scale: float, bias_scale: float) -> list[FixedPoint]:
    """All fixed lengths in ascending order, stable and unstable; 0 and infinity too where they are fixed.

    Infinity is listed only where it attracts. Two lengths closer than .05 in ln q are not told apart.
    """
    function = as_function(activation)
    growth_G = _growth(function, np.array([math.log(init_scale)]), bias_scale)[0]
    sign_G = _significant_sign(growth_G)
    moving = np.flatnonzero(sign_G)
    if len(moving) == 0:
        return [_describe(function, init_scale, 1.0, "every", stable=False)]
    points = []
    keeps_zero = bias_scale == 0 and function.phi(np.zeros(1))[0] == 0
    if keeps_zero or sign_G[moving[0]] < 0:
        points.append(_describe(function, init_scale, 0.0, "zero", stable=bool(sign_G[moving[0]] < 0)))
    grid_G = _grid()
    for low, high in pairwise(moving):
        if sign_G[low] != sign_G[high]:
            root = _roots(
                function, np.array([math.log(init_scale)]), bias_scale, from_M=grid_G[[low]], to_M=grid_G[[high]]
            )
            points.append(_describe(function, init_scale, math.exp(root[0]), "finite", stable=bool(sign_G[low] > 0)))
    if sign_G[moving[-1]] > 0:
        points.append(_describe(function, init_scale, math.inf, "infinite", stable=True))
    return points


def log_attractors(function: ScalarFunction, log_init_scale_M: Array, bias_scale: float, log_start_M: Array) -> Array:
    """The ln q to which lengths go from a start, for many init scales at once; +-LOG_Q_LIMIT stand for 0 and infinity.

    The length map must be increasing, as it is for all activations of the library.
    """
    maps = layer_maps(function)
    grid_G = _grid()
    sign_MG = _significant_sign(_growth(function, log_init_scale_M, bias_scale))
    start_growth_M = maps.log_length(log_init_scale_M, bias_scale, log_start_M) - log_start_M
    direction_M = _significant_sign(start_growth_M)
    ahead_MG = (grid_G > log_start_M[:, None]) == (direction_M[:, None] > 0)
    turned_MG = ahead_MG & (sign_MG * direction_M[:, None] < 0)
    rising_M = direction_M > 0
    first_M = np.where(rising_M, turned_MG.argmax(axis=1), turned_MG.shape[1] - 1 - turned_MG[:, ::-1].argmax(axis=1))
    ends_M = turned_MG.any(axis=1)
    target_M = np.where(ends_M, grid_G[first_M], direction_M * LOG_Q_LIMIT)
    root_M = _roots(function, log_init_scale_M, bias_scale, from_M=log_start_M, to_M=target_M)
    settled_M = np.where(ends_M, root_M, target_M)
    return np.where(direction_M == 0, log_start_M, settled_M)


@lru_cache(maxsize=64)
def grows_with_length(function: ScalarFunction) -> bool:
    """Whether E[phi^2] never falls as lengths grow, which log_attractors assumes. It holds for the library's.

    A fall by a tenth is ignored: integrals of oscillating functions are no more exact than that at great lengths.
    """
    log_square_G = _log_mean_square_on_grid(function)
    return bool((np.maximum.accumulate(log_square_G) - log_square_G < math.log(1.1)).all())


def correlation_fixed_point(
    activation: Activation, init_scale: float, bias_scale: float, q: float
) -> CorrelationFixedPoint:
    """The stable fixed correlation at a finite fixed length q > 0: 1 where chi_1 <= 1, below it otherwise."""
    from scipy.optimize import brentq

    function = as_function(activation)
    slope_at_one = chi_1(function, init_scale, q)
    if slope_at_one <= 1 + ROUNDING:
        return CorrelationFixedPoint(1.0, slope_at_one)

    def excess(correlation: float) -> float:
        return correlation_map(function, init_scale, bias_scale, q, correlation) - correlation

    fixed = 0.0
    if excess(0.0) > 1e-14:  # by symmetry an odd activation without biases leaves orthogonal inputs orthogonal
        # near 1 the excess may be all error of the integral, beyond a kink far from 0 more than elsewhere
        below = next((end for end in _NEARLY_ONE if excess(end) < 0), None)
        if below is None:  # so near criticality that it cannot be told from 1
            return CorrelationFixedPoint(1.0, slope_at_one)
        fixed = float(brentq(excess, 0.0, below, xtol=1e-13))
    return CorrelationFixedPoint(fixed, correlation_slope(function, init_scale, q, fixed))


def _describe(
    function: ScalarFunction,
    init_scale: float,
    q: float,
    kind: Literal["zero", "finite", "infinite", "every"],
    stable: bool,
) -> FixedPoint:
    return FixedPoint(
        q=q,
        kind=kind,
        stable=stable,
        chi_1=chi_1(function, init_scale, q),
        chi_parallel=chi_parallel(function, init_scale, q),
        kappa=kappa(function, q),
    )


def _depth_scale(factor: float) -> float:
    if factor == 0:
        return 0.0
    log_factor = abs(math.log(factor))
    return 1 / log_factor if log_factor > ROUNDING else math.inf


@lru_cache(maxsize=1)
def _grid() -> Array:
    return np.arange(-LOG_Q_LIMIT, LOG_Q_LIMIT + GRID_STEP / 2, GRID_STEP)


@lru_cache(maxsize=64)
def _log_mean_square_on_grid(function: ScalarFunction) -> Array:
    return layer_maps(function).log_mean_square(_grid())


def _growth(function: ScalarFunction, log_init_scale_M: Array, bias_scale: float) -> Array:
    """ln(q'/q) on the grid (M, G)."""
    log_square_G = _log_mean_square_on_grid(function)
    return add_bias(2 * log_init_scale_M[:, None] + log_square_G, bias_scale) - _grid()


def _significant_sign(growth: Array) -> NDArray[np.intp]:
    return np.where(np.abs(growth) > ROUNDING, np.sign(growth), 0).astype(np.intp)


def _roots(function: ScalarFunction, log_init_scale_M: Array, bias_scale: float, from_M: Array, to_M: Array) -> Array:
    """Roots of ln(q'/q) between two ends where its signs differ; NaN where they do not."""
    from scipy.optimize.elementwise import find_root

    maps = layer_maps(function)

    def growth(log_q_M: Array, log_init_scale_M: Array) -> Array:
        return maps.log_length(log_init_scale_M, bias_scale, log_q_M) - log_q_M

    return np.asarray(find_root(growth, (from_M, to_M), args=(log_init_scale_M,)).x)
