"""Every statistic against its slow twin, and what float32 would have hidden."""

import math

import numpy as np
import pytest

from gradstab.activations.registry import LIBRARY
from gradstab.record.statistics.layers import ProbeStatistic, log10_magnitude
from gradstab.record.statistics.registry import STATISTICS
from gradstab.stability.judgement import layer_rate
from gradstab.study.recipe import Recipe
from gradstab.study.responses.library.gradient_ratio import gradient_ratio
from gradstab.training.trainer import train
from tests.reference import train_one


@pytest.mark.parametrize("activation", LIBRARY)
def test_every_statistic_equals_its_slow_twin(activation, odd_data):
    common = {"width": 21, "activation": activation, "precision": "float64", "steps": 7, "probe_every": 3}
    common |= {"batch_size": 33, "probe_samples": 70, "bias_scale": 0.2}
    recipes = [
        Recipe(depth=2, init_scale=3.0, clip=True, clip_threshold=0.1, **common),
        Recipe(depth=5, init_scale=1.2, learning_rate=0.2, **common),
    ]
    for trajectory, recipe, seed in zip(train(recipes, [7, 8], odd_data), recipes, [7, 8], strict=True):
        twin = train_one(recipe, seed, odd_data)
        for statistic in STATISTICS.values():
            found, expected = trajectory[statistic.name], twin[statistic.name]
            tolerance = 1e-9 if statistic.dtype == "float64" else 2e-6
            np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance, err_msg=statistic.name)


def test_a_statistic_may_take_a_sum_of_its_own(odd_data, monkeypatch):
    """Ragged depths and a padded batch: what a new entry alone reads agrees with what is known of the same layers."""
    own = (
        ProbeStatistic("rms", "1", "root mean square activation", "float64", of_activations=lambda a_nBU: a_nBU.square().mean((1, 2)), read=lambda of: of.own["rms"].sqrt()),
        ProbeStatistic("log10_peak", "decades", "log10 of the largest |delta|", "float64", of_gradients=lambda d_nBU: d_nBU.abs().amax((1, 2)), read=lambda of: log10_magnitude(of.own["log10_peak"]) + of.shift_Ln + of.log10_rows),
    )  # fmt: skip
    for statistic in own:
        monkeypatch.setitem(STATISTICS, statistic.name, statistic)
    fields = {"width": 21, "activation": "sigmoid", "steps": 4, "probe_every": 2, "batch_size": 33, "probe_samples": 70}
    for trajectory in train([Recipe(depth=depth, **fields) for depth in (2, 40)], [3, 4], odd_data):
        np.testing.assert_allclose(2 * np.log10(trajectory["rms"]), trajectory["log10_activation_ms"], atol=1e-5)
        np.testing.assert_allclose(trajectory["log10_peak"], trajectory["log10_delta_max"], rtol=1e-6)


def test_float32_reads_the_same_statistics(odd_data):
    fields = {"width": 21, "activation": "relu", "steps": 4, "probe_every": 2, "batch_size": 33, "probe_samples": 64}
    recipe = Recipe(depth=6, init_scale=1.4, **fields)
    trajectory, twin = train([recipe], [3], odd_data)[0], train_one(recipe, 3, odd_data)
    for statistic in STATISTICS.values():
        np.testing.assert_allclose(
            trajectory[statistic.name], twin[statistic.name], rtol=1e-3, atol=1e-4, err_msg=statistic.name
        )


def test_deep_sigmoid_does_not_underflow(digits):
    """L = 64, sigma_w = 1: G shrinks by 16 to 17.9 a layer (chi_1 = 0.236^2), 40 decades of ||delta|| in all."""
    recipes = [Recipe(depth=64, width=64, activation="sigmoid", init_scale=1.0, steps=0)] * 3
    for trajectory in train(recipes, [1, 2, 3], digits):
        profile_L = trajectory["log10_delta_norm"][0]
        assert np.isfinite(profile_L).all()
        assert profile_L[0] < -38  # below float32's smallest normal number
        rate, _ = layer_rate(profile_L, last_half=False)
        assert rate is not None
        assert math.exp(rate) == pytest.approx(0.236, rel=0.1)
        assert gradient_ratio(profile_L) == (-37.0, "underflow")
        for name in ("log10_delta_max", "log10_weight_grad_norm", "log10_bias_grad_norm"):
            assert np.isfinite(trajectory[name]).all()


def test_weight_gradients_hide_what_delta_shows(digits):
    """The ReLU trap: forward and backward factors cancel in weight gradients, at any sigma_w."""
    recipes = [Recipe(depth=64, width=256, activation="relu", init_scale=1.6, steps=0)] * 4
    ratio: dict[str, list[float]] = {"log10_delta_norm": [], "log10_weight_grad_norm": []}
    for trajectory in train(recipes, [1, 2, 3, 4], digits):
        for name, ratios in ratio.items():
            second, last = trajectory[name][0][[1, -1]]  # the first layer's fan-in is another
            ratios.append(second - last)
    assert np.mean(ratio["log10_delta_norm"]) == pytest.approx(62 * math.log10(1.6 / math.sqrt(2)), abs=0.5)
    assert abs(np.mean(ratio["log10_weight_grad_norm"])) < 0.5


def test_activations_out_of_float32_squares_are_measured(digits):
    """ReLU at sigma_w = 8, L = 40: mean squares reach 1e63, whose float32 is inf."""
    recipe = Recipe(depth=40, width=64, activation="relu", init_scale=8.0, steps=0)
    profile_L = train([recipe], [1], digits)[0]["log10_activation_ms"][0]
    expected_L = 40 * math.log10(8.0**2 / 2)
    assert np.isfinite(profile_L).all()
    assert profile_L[-1] == pytest.approx(expected_L, abs=3)


def test_overflow_reads_as_overflow(digits):
    recipe = Recipe(depth=60, width=64, activation="relu", init_scale=30.0, steps=0)
    trajectory = train([recipe], [1], digits)[0]
    assert gradient_ratio(trajectory["log10_delta_norm"][0]) == (37.0, "overflow")
    assert np.isposinf(trajectory["log10_activation_ms"][0][-1])
    assert trajectory.nonfinite_step == 0
