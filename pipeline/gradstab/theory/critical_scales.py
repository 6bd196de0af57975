"""What mean-field theory predicts for a network: R at a depth, critical init scales, edges of the stable band.

Inputs have mean square 1 unless another value is given. Source: Schoenholz et al. 2017.
Axes: M init scales, L hidden layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from gradstab.activations.activation import Array, ScalarFunction
from gradstab.activations.registry import as_function
from gradstab.errors import UsageError
from gradstab.theory.fixed_points import ROUNDING, log_attractors
from gradstab.theory.layer_maps import LOG_Q_LIMIT, Activation, add_bias, layer_maps

SEARCHED_SCALES = (0.01, 1000.0)  # no activation of the library is critical outside
_COARSE = 120
_BESIDE = 4e-11  # in ln sigma_w: how close to a critical point the two sides of it are looked at
_JUMP = 1e-3  # |ln chi_1| that differs by more across a critical point is a jump


@dataclass(frozen=True)
class CriticalScale:
    """An init scale at which a deep network turns from vanishing to exploding.

    Attributes:
        init_scale: sigma_w.
        chi_below, chi_above: chi_1 of the length that a deep network settles at, on either side; both 1 where the
            transition is continuous, apart where the network jumps from one fixed length to another (GELU, SiLU).
        length_below, length_above: those lengths q*, which may be 0 or infinite.
    """

    init_scale: float
    chi_below: float
    chi_above: float
    length_below: float
    length_above: float

    @property
    def jumps(self) -> bool:
        """Whether no init scale leaves gradients of a deep network as they are."""
        return math.log(self.chi_above / self.chi_below) > _JUMP


@dataclass(frozen=True)
class BandEdges:
    """Init scales at which the predicted R is -R0, 0 and +R0; None where no scale of SEARCHED_SCALES gives it."""

    lower: float | None
    centre: float | None
    upper: float | None


def log_lengths(activation: Activation, init_scale_M: ArrayLike, bias_scale: float, depth: int) -> Array:
    """ln q^l of the pre-activations of layers 1..L for inputs of mean square 1, shape (M, L); lengths overflow."""
    maps = layer_maps(as_function(activation))
    log_scale_M = np.log(np.atleast_1d(np.asarray(init_scale_M, dtype=np.float64)))
    log_q_ML = np.empty((len(log_scale_M), depth))
    log_q_M = add_bias(2 * log_scale_M, bias_scale)
    for layer in range(depth):
        log_q_ML[:, layer] = log_q_M
        log_q_M = maps.log_length(log_scale_M, bias_scale, log_q_M)
    return log_q_ML


def predicted_ratios(activation: Activation, init_scale_M: ArrayLike, bias_scale: float, depth: int) -> Array:
    """R = 1/2 log10(G_1/G_L) in decades for wide networks, shape (M,); not clamped.

    G_l = chi_1(q^l) G_(l+1), so that R is half the sum of log10 chi_1 over layers 1..L-1 along the lengths that the
    input really passes (the fixed length puts edges off by up to 50 %).
    """
    maps = layer_maps(as_function(activation))
    log_q_ML = log_lengths(activation, init_scale_M, bias_scale, depth - 1)
    log_scale_M1 = np.log(np.atleast_1d(np.asarray(init_scale_M, dtype=np.float64)))[:, None]
    return np.asarray(maps.log_chi_1(log_scale_M1, log_q_ML).sum(axis=1) / (2 * math.log(10)))


def predicted_ratio(activation: Activation, init_scale: float, bias_scale: float, depth: int) -> float:
    """predicted_ratios of one network."""
    return float(predicted_ratios(activation, init_scale, bias_scale, depth)[0])


def band_edges(activation: Activation, bias_scale: float, depth: int, ratio: float = 1.0) -> BandEdges:
    """The init scales at which networks of a depth leave the band |R| <= ratio, and the one at which R is 0.

    At depth 1 R is 0 whatever the scale, and there are no edges.
    """
    if depth == 1:
        return BandEdges(None, None, None)
    return _band_edges(as_function(activation), bias_scale, depth, ratio)


def critical_scales(activation: Activation, bias_scale: float) -> tuple[CriticalScale, ...]:
    """Every init scale at which a deep network turns from vanishing to exploding, ascending.

    All activations of the library have exactly one (computed for bias scales up to 10). For GELU and SiLU with small
    biases it is a jump: there are two attractors, and the inputs decide to which of them a deep network goes.
    """
    return _critical_scales(as_function(activation), bias_scale)


def critical_init_scale(activation: Activation, bias_scale: float) -> float:
    """The sigma_w at which a deep network neither vanishes nor explodes, for inputs of mean square 1: the smallest.

    Raises:
        UsageError: the activation has none.
    """
    scales = critical_scales(activation, bias_scale)
    if not scales:
        low, high = SEARCHED_SCALES
        raise UsageError(
            f"relative_init_scale needs an activation with a critical init scale, but {as_function(activation).name} "
            f"with bias_scale {bias_scale:g} has none between {low:g} and {high:g}: give init_scale instead"
        )
    return scales[0].init_scale


@lru_cache(maxsize=1024)
def _critical_scales(function: ScalarFunction, bias_scale: float) -> tuple[CriticalScale, ...]:
    maps = layer_maps(function)

    def log_length(log_scale_M: Array) -> Array:
        start_M = add_bias(2 * log_scale_M, bias_scale)
        return log_attractors(function, log_scale_M, bias_scale, start_M)

    def log_chi(log_scale_M: Array) -> Array:
        # above the point chi_1 may leave 1 only quadratically; the shift puts the crossing on the sharp side, below
        return maps.log_chi_1(log_scale_M, log_length(log_scale_M)) + ROUNDING

    root_K = _crossings(log_chi, _coarse_log_scales())
    ends_K2 = root_K[:, None] + [-_BESIDE, _BESIDE]
    scales = []
    for root, ends in zip(root_K, ends_K2, strict=True):
        log_q = log_length(ends)
        chi_below, chi_above = np.exp(maps.log_chi_1(ends, log_q))
        scales.append(
            CriticalScale(
                init_scale=math.exp(root),
                chi_below=float(chi_below),
                chi_above=float(chi_above),
                length_below=_length(log_q[0]),
                length_above=_length(log_q[1]),
            )
        )
    return tuple(scales)


@lru_cache(maxsize=1024)
def _band_edges(function: ScalarFunction, bias_scale: float, depth: int, ratio: float) -> BandEdges:
    def ratios(log_scale_M: Array) -> Array:
        return predicted_ratios(function, np.exp(log_scale_M), bias_scale, depth)

    coarse_M = _coarse_log_scales()
    coarse_ratio_M = ratios(coarse_M)

    def edge(target: float) -> float | None:
        found_K = _crossings(lambda log_scale_M: ratios(log_scale_M) - target, coarse_M, coarse_ratio_M - target)
        return math.exp(found_K[0]) if len(found_K) else None

    return BandEdges(edge(-ratio), edge(0.0), edge(ratio))


def _crossings(function: Callable[[Array], Array], grid_M: Array, value_M: Array | None = None) -> Array:
    """Where the function turns from negative to positive between two points of a grid, by a jump or continuously."""
    from scipy.optimize.elementwise import find_root

    value_M = function(grid_M) if value_M is None else value_M
    start = np.flatnonzero((value_M[:-1] < 0) & (value_M[1:] >= 0))
    if len(start) == 0:
        return grid_M[start]
    bracket = (grid_M[start], grid_M[start + 1])
    return np.asarray(find_root(function, bracket, tolerances={"xatol": _BESIDE / 4, "xrtol": 0.0}).x)


def _coarse_log_scales() -> Array:
    low, high = SEARCHED_SCALES
    return np.linspace(math.log(low), math.log(high), _COARSE)


def _length(log_q: float) -> float:
    return 0.0 if log_q <= -LOG_Q_LIMIT else math.inf if log_q >= LOG_Q_LIMIT else math.exp(log_q)
