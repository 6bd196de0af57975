"""Trainable depths of many settings against each computed alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradstab.study.recipe import Recipe
from gradstab.theory.depth_scale_field import log_depth_left, trainable_depths
from gradstab.theory.forecast import scale_forecast


@pytest.mark.parametrize(
    ("activation", "bias_scale"), [("tanh", 0.2236), ("tanh", 0.0), ("sigmoid", 0.0), ("relu", 0.0)]
)
@pytest.mark.parametrize("count", [5, 201])  # computed, and taken between computed ones
def test_trainable_depths_are_six_depth_scales(activation, bias_scale, count):
    scales = np.geomspace(0.6, 3.9, count)
    depth_N = trainable_depths(
        [Recipe(activation=activation, bias_scale=bias_scale, init_scale=float(scale), depth=10) for scale in scales]
    )
    for index in range(0, count, max(1, count // 5)):
        expected = scale_forecast(activation, float(scales[index]), bias_scale, 10).depth_scale
        if expected is None:
            assert math.isnan(depth_N[index])
        else:
            # between nodes the kink at criticality is cut off
            assert depth_N[index] == pytest.approx(6 * expected, rel=0.05)


def test_depth_left_changes_sign_at_the_trainable_depth():
    last = scale_forecast("tanh", 2.0, 0.05, 10).trainable_depth
    assert last is not None
    recipes = [
        Recipe(activation="tanh", bias_scale=0.05, init_scale=2.0, depth=depth)
        for depth in (math.floor(last), math.ceil(last))
    ]
    shallow, deep = log_depth_left(recipes)
    assert shallow > 0 > deep
