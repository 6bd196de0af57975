"""Stable intervals on trials planted with known edges, clean, noisy, open and empty."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstab.stability.intervals import IntervalTable, StableInterval, stable_intervals
from gradstab.study.axes import AnyAxis, Choice, Integer, LogInteger, LogReal, Real
from gradstab.study.space import Point, SearchSpace
from gradstab.theory.critical_scales import band_edges, predicted_ratios

SCALE = LogReal(0.01, 1e6)


def table_of(space: dict[str, AnyAxis], points: Sequence[Point], stable: list[bool]) -> IntervalTable:
    return stable_intervals(SearchSpace(space), points, [0.5 if is_stable else -0.5 for is_stable in stable])


def approx(*numbers: float | None, rel: float = 1e-9) -> Any:
    return pytest.approx(numbers, rel=rel)


def only(scales: list[float], stable: list[bool]) -> StableInterval:
    (interval,) = table_of({"init_scale": SCALE}, [{"init_scale": scale} for scale in scales], stable).rows
    return interval


def test_edges_lie_midway_between_the_outermost_stable_trial_and_the_next():
    interval = only([1.0, 2.0, 4.0, 8.0, 16.0], [False, True, True, True, False])
    assert interval.lower == pytest.approx(math.sqrt(2))
    assert interval.upper == pytest.approx(math.sqrt(128))
    assert (interval.num_trials, interval.num_stable, interval.num_inside, interval.num_misclassified) == (5, 3, 3, 0)
    assert interval.fraction_stable == 1.0


@pytest.mark.parametrize(
    ("stable", "lower_open", "upper_open"),
    [
        ([True, True, False], True, False),
        ([False, True, True], False, True),
        ([True, True, True], True, True),
        ([False, True, False], False, False),
    ],
)
def test_an_interval_that_reaches_the_searched_range_is_open(stable, lower_open, upper_open):
    interval = only([1.0, 2.0, 4.0], stable)
    assert interval.found
    assert (interval.lower is None, interval.upper is None) == (lower_open, upper_open)


@pytest.mark.parametrize("scales", [[1.0], [1.0, 2.0, 4.0]])
def test_no_stable_trial_no_interval(scales):
    interval = only(scales, [False] * len(scales))
    assert not interval.found
    assert (interval.lower, interval.upper, interval.num_inside, interval.fraction_stable) == (None, None, 0, None)
    assert interval.num_misclassified == 0


def test_a_stray_trial_does_not_move_an_edge():
    scales = [float(2**k) for k in range(10)]
    stable = [False, True, True, True, True, False, False, False, True, False]
    interval = only(scales, stable)
    assert interval.lower == pytest.approx(2**0.5)
    assert interval.upper == pytest.approx(2**4.5)
    assert (interval.num_stable, interval.num_stable_inside, interval.num_misclassified) == (5, 4, 1)


def test_a_hole_does_not_split_the_interval():
    interval = only([float(2**k) for k in range(7)], [False, True, True, False, True, True, False])
    assert (interval.lower, interval.upper) == approx(2**0.5, 2**5.5)
    assert interval.fraction_stable == pytest.approx(4 / 5)
    assert interval.num_misclassified == 1


def test_replicates_of_one_scale_stay_on_one_side():
    scales = [1.0] * 3 + [2.0] * 3 + [4.0] * 3
    stable = [False, False, True, True, True, False, False, False, False]
    interval = only(scales, stable)
    assert (interval.lower, interval.upper) == approx(2**0.5, 2**1.5)
    assert (interval.num_inside, interval.num_stable_inside, interval.num_misclassified) == (3, 2, 2)


def test_a_margin_that_is_zero_or_nan_is_not_stable():
    for margin in (0.0, math.nan, -math.inf):
        table = stable_intervals(SearchSpace({"init_scale": SCALE}), [{"init_scale": 1.0}], [margin])
        assert not table.rows[0].found


def misclassified(stable: list[bool], first: int, end: int) -> int:
    return sum(is_stable != (first <= index < end) for index, is_stable in enumerate(stable))


@given(stable=st.lists(st.booleans(), min_size=1, max_size=14), seed=st.randoms())
def test_no_interval_makes_fewer_mistakes_and_order_does_not_matter(stable, seed):
    trials = list(enumerate(stable))
    seed.shuffle(trials)
    interval = only([1.2**k for k, _ in trials], [is_stable for _, is_stable in trials])
    least = min(
        misclassified(stable, *ends) for ends in itertools.combinations_with_replacement(range(len(stable) + 1), 2)
    )
    assert interval.num_misclassified == least
    inside = [k for k in range(len(stable)) if (interval.lower or 0) < 1.2**k < (interval.upper or math.inf)]
    if interval.found:
        assert len(inside) == interval.num_inside
        assert misclassified(stable, inside[0], inside[-1] + 1) == least
    assert interval.num_stable == sum(stable)


def planted_interval(activation: str, depth: int, noise: float, seed: int) -> StableInterval:
    """From 400 trials whose R is theory's plus noise in decades, at scales from half to twice the planted edges."""
    rng = np.random.default_rng(seed)
    planted = band_edges(activation, 0.0, depth)
    low, high = math.log((planted.lower or 0) / 2), math.log((planted.upper or 0) * 2)
    scales = np.exp(rng.uniform(low, high, 400))
    ratios = predicted_ratios(activation, scales, 0.0, depth) + noise * rng.standard_normal(400)
    return only(scales.tolist(), (np.abs(ratios) < 1).tolist())


@pytest.mark.parametrize(("activation", "depth"), [("relu", 10), ("tanh", 20), ("sigmoid", 10)])
def test_planted_edges_are_found(activation: str, depth: int):
    planted = band_edges(activation, 0.0, depth)
    clean = planted_interval(activation, depth, 0.0, seed=1)
    assert clean.num_misclassified == 0
    assert (clean.lower, clean.upper) == approx(planted.lower, planted.upper, rel=0.025)

    noisy = [planted_interval(activation, depth, 0.25, seed) for seed in range(20)]
    lower, upper = (np.array([getattr(interval, edge) for interval in noisy]) for edge in ("lower", "upper"))
    assert (np.exp(np.log(lower).mean()), np.exp(np.log(upper).mean())) == approx(
        planted.lower, planted.upper, rel=0.03
    )
    assert all(0 < interval.num_misclassified < 60 for interval in noisy)


def test_few_depths_stand_alone_and_many_are_put_into_four_bands():
    space: dict[str, AnyAxis] = {"depth": LogInteger(2, 32), "init_scale": SCALE}

    def bands(depths: list[int]) -> IntervalTable:
        return table_of(space, [{"depth": depth, "init_scale": 1.0} for depth in depths], [True] * len(depths))

    few = bands([32, 2, 4, 8, 16])
    assert [(i.depth_low, i.depth_high) for i in few.rows] == [(d, d) for d in (2, 4, 8, 16, 32)]
    many = bands(list(range(2, 33)))
    assert [(i.depth_low, i.depth_high) for i in many.rows] == [(2, 3), (4, 7), (8, 15), (16, 32)]
    assert sum(i.num_trials for i in many.rows) == 31
    assert [i.typical["depth"] for i in many.rows] == [3, 6, 12, 24]
    assert (many.axis, many.by_depth, many.merged) == ("init_scale", True, ())


def test_every_choice_has_rows_of_its_own_in_the_order_of_the_space():
    space: dict[str, AnyAxis] = {
        "activation": Choice(("relu", "tanh")), "init_scale": SCALE, "clip": Choice((True, False)),
    }  # fmt: skip
    trials: list[tuple[str, float, bool, bool]] = [
        ("tanh", 1.0, True, True),
        ("relu", 1.0, False, False),
        ("relu", 2.0, False, True),
        ("relu", 1.0, True, True),
    ]
    points: list[Point] = [{"activation": name, "init_scale": scale, "clip": clip} for name, scale, clip, _ in trials]
    table = table_of(space, points, [is_stable for *_, is_stable in trials])
    assert table.choices == ("activation", "clip")
    found = [(*i.choices.values(), i.num_stable, i.num_trials) for i in table.rows]
    assert found == [("relu", True, 1, 1), ("relu", False, 1, 2), ("tanh", True, 1, 1)]


@pytest.mark.parametrize(
    ("space", "axis"),
    [
        ({"learning_rate": LogReal(1e-3, 1)}, "learning_rate"),
        ({"depth": LogInteger(2, 32), "learning_rate": LogReal(1e-3, 1)}, "learning_rate"),
        ({"learning_rate": LogReal(1e-3, 1), "relative_init_scale": LogReal(0.5, 2)}, "relative_init_scale"),
        ({"depth": Integer(2, 32), "clip": Choice((True, False))}, "depth"),
        ({"init_scale": Choice((0.5, 1.0, 2.0)), "learning_rate": LogReal(1e-3, 1)}, "init_scale"),
        ({"clip": Choice((True, False))}, None),
    ],
    ids=["learning rate alone", "beside depth", "beside a scale", "depth alone", "scale from a list", "no number"],
)
def test_the_table_is_about_the_studys_own_axis(space: dict[str, AnyAxis], axis: str | None):
    points = [{name: each.from_unit(unit) for name, each in space.items()} for unit in (0.1, 0.5, 0.9)]
    table = table_of(space, points, [False, True, False])
    assert table.axis == axis
    assert sum(row.num_trials for row in table.rows) == 3
    assert sum(row.num_misclassified for row in table.rows) == 0, "an unstable trial is no misfit of another axis"


def test_the_ends_lie_midway_on_the_axis_as_it_is_searched():
    values, stable = [0.0, 1.0, 2.0, 4.0], [False, True, True, False]
    (even,) = table_of({"bias_scale": Real(0, 4)}, [{"bias_scale": value} for value in values], stable).rows
    assert (even.lower, even.upper) == approx(0.5, 3.0)
    (log,) = table_of({"learning_rate": LogReal(1, 8)}, [{"learning_rate": 2.0**k} for k in range(4)], stable).rows
    assert (log.lower, log.upper) == approx(2**0.5, 2**2.5)


def test_an_axis_without_effect_has_no_interval_there():
    space: dict[str, AnyAxis] = {"clip": Choice((False, True)), "clip_threshold": LogReal(0.1, 10)}
    points = [{"clip": clip, "clip_threshold": value} for clip in (False, True) for value in (0.1, 1.0, 10.0)]
    off, on = table_of(space, points, [True, False, True, True, True, False]).rows
    assert (off.applies, off.found, off.num_stable, off.num_misclassified) == (False, False, 2, 0)
    assert (on.applies, on.found, on.lower) == (True, True, None)


def test_choices_beyond_the_room_of_a_table_are_merged_and_named():
    space: dict[str, AnyAxis] = {
        "init_scale": SCALE, "width": Choice(tuple(range(16, 56))), "activation": Choice(("relu", "tanh")),
        "momentum": Real(0, 0.9),
    }  # fmt: skip
    table = table_of(space, [{"init_scale": 1.0, "width": 20, "activation": "tanh", "momentum": 0.5}], [True])
    assert table.choices == ("width",)
    assert table.merged == ("activation", "momentum")


def test_no_trials_no_intervals():
    assert table_of({"init_scale": SCALE}, [], []).rows == ()
