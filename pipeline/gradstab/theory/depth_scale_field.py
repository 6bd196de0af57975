"""The depth up to which networks train according to mean-field theory, 6 xi_c, at many settings at once.

Source: Schoenholz et al. 2017, figure 5. Axes: N settings, M init scales.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gradstab.activations.registry import as_function
from gradstab.regression.coordinates import Array
from gradstab.study.recipe import Recipe
from gradstab.theory.fixed_points import correlation_fixed_point, log_attractors
from gradstab.theory.forecast import TRAINABLE_DEPTH_SCALES
from gradstab.theory.known_networks import has_theory
from gradstab.theory.layer_maps import LOG_Q_LIMIT, add_bias

_FAR = 20.0  # bounds the logarithm at criticality, so that curves can be drawn beside it
_MOST_SCALES = 65  # are computed; where there are more, the others are interpolated


def trainable_depths(recipes: Sequence[Recipe]) -> Array:
    """6 xi_c of each recipe, shape (N,): infinite at criticality, NaN where lengths settle at 0 or grow for ever.

    NaN also for networks of which theory says nothing (`has_theory`).
    """
    depth_N = np.full(len(recipes), math.nan)
    groups: dict[tuple[str, float], list[int]] = {}
    for index, recipe in enumerate(recipes):
        if has_theory(recipe):
            groups.setdefault((recipe.activation, recipe.bias_scale), []).append(index)
    for (activation, bias_scale), members in groups.items():
        log_scale_M, scale_of = np.unique(
            [math.log(recipes[index].init_scale) for index in members], return_inverse=True
        )
        depth_N[members] = _of_scales(activation, log_scale_M, bias_scale)[scale_of]
    return depth_N


def _of_scales(activation: str, log_scale_M: Array, bias_scale: float) -> Array:
    if len(log_scale_M) > _MOST_SCALES:
        node_K = np.linspace(log_scale_M[0], log_scale_M[-1], _MOST_SCALES)
        # 1 / xi is smooth between nodes; xi itself is unbounded
        with np.errstate(divide="ignore"):
            return np.asarray(1 / np.interp(log_scale_M, node_K, 1 / _of_scales(activation, node_K, bias_scale)))
    function = as_function(activation)
    log_q_M = log_attractors(function, log_scale_M, bias_scale, add_bias(2 * log_scale_M, bias_scale))
    settled_M = np.abs(log_q_M) < LOG_Q_LIMIT
    depth_M = np.full(len(log_scale_M), math.nan)
    for index in np.flatnonzero(settled_M):
        at = correlation_fixed_point(function, math.exp(log_scale_M[index]), bias_scale, math.exp(log_q_M[index]))
        depth_M[index] = TRAINABLE_DEPTH_SCALES * at.xi
    return depth_M


def log_depth_left(recipes: Sequence[Recipe]) -> Array:
    """ln(6 xi_c / depth) of each recipe: positive where theory expects training, NaN where it makes no prediction."""
    left_N = np.log(trainable_depths(recipes)) - np.log([recipe.depth for recipe in recipes])
    return np.asarray(np.clip(left_N, -_FAR, _FAR))
