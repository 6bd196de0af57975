"""Expectations over Gaussian pre-activations, to about 1e-12 for functions smooth on either side of 0.

Functions with kinks elsewhere are integrated by another rule, in panels that end at the kinks.
Axes: Q variances q, N nodes of a half line, P panels, M nodes of a panel, G nodes of a log-q grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

from gradstab.activations.activation import Array

NODE_STEP = 0.1
_FIRST_NODE = -3.7  # where the double-exponential map has fallen to 1e-18
_LAST_DEVIATION = 9.5  # standard deviations: the density there is 1e-20
_PAIR_DEVIATION = 9.0
_PAIR_NODES = 64
_PANEL_REACH = 37.0  # standard deviations: a function that is zero around 0 has its mean far out
_PANELS = 92  # each half as wide as the one before: the last ones are narrower than any feature at the largest q
_PANEL_NODES = 20


def gaussian_mean(function: Callable[[Array], Array], variance_Q: Array, kinks: Sequence[float] = ()) -> Array:
    """E[f(u)] for u ~ N(0, q), for every q > 0 of a one-dimensional array; same shape.

    Args:
        function: f, elementwise.
        variance_Q: the variances q.
        kinks: where f is not smooth, besides 0.

    Trapezoid rule in t on both half lines under u = exp(t - exp(-t)) (Takahasi & Mori 1974). Nodes are logarithmic
    in u, so that the narrow spike of a saturating function at large q and the kink at 0 are resolved alike.
    scipy.integrate.tanhsinh takes about 40 times as long and misses the spikes: its chi_1 of tanh is off by .2 %.
    """
    if kinks:
        return panelled_mean(function, variance_Q, kinks)
    scale_Q1 = np.sqrt(variance_Q)[:, None]
    unit_Q1 = np.maximum(scale_Q1, 1.0)
    node_N, weight_N = _half_line(float(unit_Q1.max()))
    z_QN = node_N / unit_Q1
    density_QN = weight_N / unit_Q1 * _density(z_QN)
    u_QN = scale_Q1 * z_QN
    return np.asarray(((function(u_QN) + function(-u_QN)) * density_QN).sum(axis=1))


def panelled_mean(
    function: Callable[[Array], Array], variance_Q: Array, kinks: Sequence[float], nodes: int = _PANEL_NODES
) -> Array:
    """gaussian_mean by Gauss-Legendre panels of `nodes` nodes that halve toward 0 and end at the kinks."""
    scale_Q1 = np.sqrt(variance_Q)[:, None]
    z_QPM, weight_QPM = _panels(scale_Q1, kinks, nodes)
    value_QPM = function(scale_Q1[:, :, None] * z_QPM) * _density(z_QPM)
    return np.asarray((value_QPM * weight_QPM).sum(axis=(1, 2)))


def _panels(scale_Q1: Array, kinks: Sequence[float], nodes: int) -> tuple[Array, Array]:
    """Nodes in standard deviations and weights, (Q, P, M); each panel is smooth, and as wide as it is far from 0."""
    ladder_P = _PANEL_REACH * 0.5 ** np.arange(_PANELS)
    edge_P = np.concatenate([-ladder_P, [0.0], ladder_P[::-1]])
    kink_QP = np.clip(np.asarray(kinks) / scale_Q1, -_PANEL_REACH, _PANEL_REACH)
    shared_QP = np.broadcast_to(edge_P, (len(scale_Q1), len(edge_P)))
    edge_QP = np.sort(np.concatenate([shared_QP, kink_QP], axis=1))
    legendre_M, weight_M = _legendre(nodes)
    half_QP1 = 0.5 * np.diff(edge_QP)[:, :, None]
    middle_QP1 = 0.5 * (edge_QP[:, 1:] + edge_QP[:, :-1])[:, :, None]
    return middle_QP1 + half_QP1 * legendre_M, half_QP1 * weight_M


def gaussian_pair_mean(
    function: Callable[[Array], Array], variance: float, correlation: float, kinks: Sequence[float] = ()
) -> float:
    """E[f(u) f(v)] for u, v ~ N(0, q) of correlation c in (-1, 1).

    The outer integral is that of gaussian_mean. The inner one is a sum of Gauss-Legendre panels that meet where v is 0
    or at a kink.
    """
    scale = math.sqrt(variance)
    if kinks:
        z_1PM, weight_1PM = _panels(np.array([[scale]]), kinks, _PANEL_NODES)
        z_N, weight_N = z_1PM.ravel(), weight_1PM.ravel() * _density(z_1PM.ravel())
    else:
        unit = max(scale, 1.0)
        node_N, weight_N = _half_line(unit)
        z_N = np.concatenate([-node_N[::-1], node_N]) / unit
        weight_N = np.concatenate([weight_N[::-1], weight_N]) / unit * _density(z_N)
    spread = math.sqrt((1 - correlation) * (1 + correlation))
    legendre_M, legendre_weight_M = _legendre(_PAIR_NODES)
    inner_N = np.zeros_like(z_N)
    edges = [
        np.clip((kink / scale - correlation * z_N) / spread, -_PAIR_DEVIATION, _PAIR_DEVIATION)
        for kink in (-math.inf, *sorted({0.0, *kinks}), math.inf)
    ]
    for low_N, high_N in pairwise(edges):
        half_N1 = 0.5 * (high_N - low_N)[:, None]
        y_NM = 0.5 * (high_N + low_N)[:, None] + half_N1 * legendre_M
        v_NM = scale * (correlation * z_N[:, None] + spread * y_NM)
        inner_N += (function(v_NM) * _density(y_NM) * half_N1 * legendre_weight_M).sum(axis=1)
    return float((function(scale * z_N) * inner_N * weight_N).sum())


@lru_cache(maxsize=8)
def _legendre(nodes: int) -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights on (-1, 1), which take longer to find than an integral takes with them."""
    node_M, weight_M = np.polynomial.legendre.leggauss(nodes)
    return node_M, weight_M


def _half_line(unit: float) -> tuple[Array, Array]:
    """Nodes and weights of the integral over (0, 9.5 unit)."""
    count = math.ceil((math.log(_LAST_DEVIATION * unit) - _FIRST_NODE) / NODE_STEP) + 1
    t_N = _FIRST_NODE + NODE_STEP * np.arange(count)
    node_N = np.exp(t_N - np.exp(-t_N))
    return node_N, NODE_STEP * node_N * (1 + np.exp(-t_N))


def _density(z: Array) -> Array:
    return np.asarray(np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi))


def log_table(log_q_G: Array, log_value_G: Array) -> Callable[[Array], Array]:
    """ln f as a function of ln q, from its values on a grid: a spline of degree 7 inside, a power law beyond.

    Args:
        log_q_G: grid of ln q, evenly spaced.
        log_value_G: ln f there.
    """
    from scipy.interpolate import PPoly, make_interp_spline

    spline = PPoly.from_spline(make_interp_spline(log_q_G, log_value_G, k=7).tck)  # polynomials are read faster
    low, high = log_q_G[[0, -1]]
    low_slope, high_slope = (np.diff(log_value_G) / np.diff(log_q_G))[[0, -1]]

    def value(log_q: Array) -> Array:
        inside = np.clip(log_q, low, high)
        beyond = log_q - inside
        return np.asarray(spline(inside) + beyond * np.where(beyond < 0, low_slope, high_slope))

    return value
