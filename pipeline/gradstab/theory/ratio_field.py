"""R as mean-field theory predicts it at many settings at once, to be drawn and counted beside measured values.

Axes: N settings, M init scales, L hidden layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gradstab.activations.registry import as_function
from gradstab.regression.coordinates import Array
from gradstab.study.recipe import Recipe
from gradstab.study.responses.library.gradient_ratio import RATIO_LIMIT
from gradstab.theory.critical_scales import log_lengths
from gradstab.theory.known_networks import has_theory
from gradstab.theory.layer_maps import layer_maps


def predicted_field(recipes: Sequence[Recipe]) -> Array:
    """R of each recipe in decades, clamped like measured values; 0 at depth 1.

    NaN for networks of which theory says nothing (`has_theory`).
    """
    ratio_N = np.array([0.0 if has_theory(recipe) else math.nan for recipe in recipes])
    groups: dict[tuple[str, float], list[int]] = {}
    for index, recipe in enumerate(recipes):
        if has_theory(recipe):
            groups.setdefault((recipe.activation, recipe.bias_scale), []).append(index)
    for (activation, bias_scale), members in groups.items():
        scale_M, scale_of = np.unique([recipes[index].init_scale for index in members], return_inverse=True)
        depth = np.array([recipes[index].depth for index in members])
        deep = np.flatnonzero(depth > 1)
        if len(deep) == 0:
            continue
        ratio_ML = _by_depth(activation, scale_M, bias_scale, int(depth.max()))
        ratio_N[np.array(members)[deep]] = ratio_ML[scale_of[deep], depth[deep] - 2]
    return np.clip(ratio_N, -RATIO_LIMIT, RATIO_LIMIT)


def _by_depth(activation: str, scale_M: Array, bias_scale: float, deepest: int) -> Array:
    """R at depths 2 .. deepest, shape (M, L): a deeper network's first layers are a shallower one's."""
    function = as_function(activation)
    log_q_ML = log_lengths(function, scale_M, bias_scale, deepest - 1)
    log_chi_ML = layer_maps(function).log_chi_1(np.log(scale_M)[:, None], log_q_ML)
    return np.asarray(np.cumsum(log_chi_ML, axis=1) / (2 * math.log(10)))
