"""The cost model on planted machines: both parts are found, and nothing it is shown makes it absurd."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstab.loop import calibration
from gradstab.loop.calibration import store_cost_models, stored_cost_models
from gradstab.loop.cost_model import CostModel
from gradstab.study.recipe import Recipe
from tests.loop.planted_costs import SHAPE, learned_cost, planted_seconds

TANH = Recipe(depth=12, steps=100, activation="tanh")


@pytest.mark.parametrize(("dispatch", "arithmetic"), [(1.0, 1.0), (4.0, 1.0), (0.5, 3.0), (10.0, 8.0)])
def test_both_parts_are_found_from_packs_of_different_sizes_with_noise(dispatch, arithmetic):
    generator = random.Random(3)
    cost = learned_cost(TANH, dispatch, arithmetic, noise=lambda: generator.lognormvariate(0, 0.1))
    for size in (1, 5, 40, 200):
        truth = planted_seconds([TANH] * size, dispatch, arithmetic)
        assert cost.pack_seconds([TANH] * size, SHAPE) == pytest.approx(truth, rel=0.15)


def test_packs_of_one_size_tell_their_own_time_and_keep_the_assumed_ratio_of_the_parts():
    cost = CostModel()
    for _ in range(40):
        cost = cost.learned([TANH] * 8, SHAPE, 3 * planted_seconds([TANH] * 8, 1, 1))
    assert cost.slowness(TANH) == pytest.approx((3, 3), rel=0.01)


def test_a_pack_costs_its_largest_depth_once_for_each_activation():
    cost = CostModel()
    deep, shallow, relu = TANH.at({"depth": 30}), TANH.at({"depth": 3}), TANH.at({"activation": "relu"})
    arithmetic = sum(cost.seconds(recipe, SHAPE) for recipe in (deep, shallow, relu))
    dispatch = cost.dispatch_seconds(TANH, 30) + cost.dispatch_seconds(relu, 12)
    for pack in ([shallow, relu, deep], [deep, shallow, relu]):
        assert cost.pack_seconds(pack, SHAPE) == pytest.approx(arithmetic + dispatch)
    assert cost.dispatch_seconds(TANH, 30) > cost.dispatch_seconds(TANH, 3)


def test_stacks_of_a_mixed_pack_share_its_time_as_expected_and_each_learns_its_own():
    relu = TANH.at({"activation": "relu"})
    cost = learned_cost(TANH, 2, 2)
    for _ in range(60):
        pack = [TANH, relu] * 10
        cost = cost.learned(pack, SHAPE, planted_seconds([TANH] * 10, 2, 2) + planted_seconds([relu] * 10, 2, 2))
    assert cost.slowness(TANH) == pytest.approx((2, 2), rel=0.05)
    assert cost.slowness(relu) == pytest.approx((2, 2), rel=0.05)


def test_a_width_that_was_never_measured_is_as_slow_as_the_nearest():
    cost = learned_cost(TANH, 2, 2)
    cost = CostModel({**learned_cost(TANH.at({"width": 512}), 5, 5).evidence, **cost.evidence})
    assert cost.slowness(TANH.at({"width": 32, "activation": "gelu"})) == pytest.approx((2, 2), rel=0.05)
    assert cost.slowness(TANH.at({"width": 480})) == pytest.approx((5, 5), rel=0.05)


@given(st.lists(st.tuples(st.integers(1, 200), st.floats(1e-3, 1e4)), min_size=1, max_size=30))
def test_whatever_packs_take_both_parts_stay_positive_and_finite(packs):
    cost = CostModel()
    for size, seconds in packs:
        cost = cost.learned([TANH] * size, SHAPE, seconds)
    assert all(0 < part < math.inf for part in cost.slowness(TANH))


def test_what_was_learnt_is_kept_between_runs_by_kind_of_slot(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "calibration_path", lambda: tmp_path / "deep" / "speed.json")
    cpu = learned_cost(TANH, 2, 3)
    store_cost_models({"cpu": cpu, "cuda": CostModel()})
    assert stored_cost_models() == {"cpu": cpu}
    gpu = learned_cost(TANH, 1, 0.01)
    store_cost_models({"cuda": gpu})
    assert stored_cost_models() == {"cpu": cpu, "cuda": gpu}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        "[[64, 30.0]]",
        '{"cpu": 3}',
        '{"cpu": [[64, "tanh", [1, 2]]]}',
        '{"cpu": [[64, 20.0]]}',
        '{"cpu": [[64, "tanh", [NaN, 0, 1, 0, 1]]]}',
        '{"cpu": [[64, "tanh", [0, 0, 0, 0, 0]]]}',
        '{"cpu": [[0, "tanh", [1, 1, 1, 1, 1]]]}',
    ],
)
def test_a_damaged_file_or_one_of_another_version_is_as_none(tmp_path, monkeypatch, content):
    monkeypatch.setattr(calibration, "calibration_path", lambda: tmp_path / "speed.json")
    calibration.calibration_path().write_text(content)
    assert stored_cost_models() == {}
