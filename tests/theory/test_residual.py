"""Residual theory against closed forms, and against wide networks of the shipped family."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gradstab.theory.residual import Normalised, block_gains, residual_ratio
from tests.families.test_probes import measure


def test_relu_grows_exponentially_without_norm():
    assert residual_ratio("relu", 21, init_scale=math.sqrt(2)) == pytest.approx(10 * math.log10(1 + 2))
    assert residual_ratio("relu", 21, init_scale=1.1, residual_scale=0.3) == pytest.approx(
        10 * math.log10(1 + 0.09 * 1.1**4 / 2)
    )


def test_a_scale_of_one_over_root_depth_bounds_relu():
    ratios = [residual_ratio("relu", depth, residual_scale=depth**-0.5) for depth in (4, 64, 1024)]
    assert ratios[0] < ratios[1] < ratios[2] < 0.25 * math.log10(math.e) + 1e-3  # the limit of L/2 log10(1 + 1/(2L))


def test_pre_norm_relu_grows_as_the_length_of_the_stream():
    """Each block adds sigma_w^4 / 2 to the length, and gradients grow by the same factor."""
    for depth in (5, 50):
        found = residual_ratio("relu", depth, init_scale=1.3, norm="pre", mean_square_input=2.0)
        added = 1.3**4 / 2
        assert found == pytest.approx(0.5 * math.log10((2 + depth * added) / (2 + added)))


def test_post_norm_relu_keeps_gradients():
    assert residual_ratio("relu", 40, init_scale=1.3, norm="post") == pytest.approx(0, abs=1e-9)


def test_the_first_post_norm_block_takes_the_stream_as_it_comes():
    """A linear branch of a stream of length 9: (1 + a) / (q + c) with a = 1 and c = q, then (1 + a) / (1 + c) = 1."""
    first, *others = np.exp(block_gains("linear", 4, norm="post", mean_square_input=9.0))
    assert first == pytest.approx(1 / 9)
    assert others == pytest.approx([1, 1, 1])


def test_tanh_without_norm_grows_less_than_exponentially():
    """Yang & Schoenholz 2017: as exp(c sqrt(L)), so that R doubles where L is four times as large."""
    found = [residual_ratio("tanh", depth) for depth in (100, 400, 1600)]
    assert found[1] / found[0] == pytest.approx(2, rel=0.1)
    assert found[2] / found[1] == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("norm", ["none", "pre", "post"])
def test_wide_networks_follow_theory(activation, norm: Normalised):
    """R of 16 blocks of width 512; the errors are 4 standard errors of 5 seeds and .01 decades for finite width."""
    shape: dict[str, Any] = {"depth": 16, "init_scale": 1.3, "residual_scale": 0.7}
    settings: dict[str, Any] = {
        "norm": "none" if norm == "none" else "layer",
        "norm_place": "post" if norm == "post" else "pre",
    }
    found = [
        measure("residual", seed, width=512, activation=activation, **shape, **settings).gradient_ratio
        for seed in range(5)
    ]
    predicted = residual_ratio(activation, **shape, norm=norm)
    error = 4 * float(np.std(found, ddof=1)) / math.sqrt(len(found)) + 0.01
    assert np.mean(found) == pytest.approx(predicted, abs=error)
    assert error < 0.15
