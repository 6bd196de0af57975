"""Stable intervals on trials planted with known edges, clean, noisy, open and empty."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstab.stability.intervals import IntervalInput, StableInterval, stable_intervals
from gradstab.theory.critical_scales import band_edges, predicted_ratios


def rows_of(
    scales: list[float], stable: list[bool], *, depth: int = 10, activation: str = "tanh", bias_scale: float = 0.05
) -> list[IntervalInput]:
    return [
        IntervalInput(depth, scale, activation, bias_scale, 0.5 if is_stable else -0.5)
        for scale, is_stable in zip(scales, stable, strict=True)
    ]


def approx(*numbers: float | None, rel: float = 1e-9) -> Any:
    return pytest.approx(numbers, rel=rel)


def only(rows: list[IntervalInput]) -> StableInterval:
    (interval,) = stable_intervals(rows)
    return interval


def test_edges_lie_midway_between_the_outermost_stable_trial_and_the_next():
    interval = only(rows_of([1.0, 2.0, 4.0, 8.0, 16.0], [False, True, True, True, False]))
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
    interval = only(rows_of([1.0, 2.0, 4.0], stable))
    assert interval.found
    assert (interval.lower is None, interval.upper is None) == (lower_open, upper_open)


@pytest.mark.parametrize("scales", [[1.0], [1.0, 2.0, 4.0]])
def test_no_stable_trial_no_interval(scales):
    interval = only(rows_of(scales, [False] * len(scales)))
    assert not interval.found
    assert (interval.lower, interval.upper, interval.num_inside, interval.fraction_stable) == (None, None, 0, None)
    assert interval.num_misclassified == 0


def test_a_stray_trial_does_not_move_an_edge():
    scales = [float(2**k) for k in range(10)]
    stable = [False, True, True, True, True, False, False, False, True, False]
    interval = only(rows_of(scales, stable))
    assert interval.lower == pytest.approx(2**0.5)
    assert interval.upper == pytest.approx(2**4.5)
    assert (interval.num_stable, interval.num_stable_inside, interval.num_misclassified) == (5, 4, 1)


def test_a_hole_does_not_split_the_interval():
    interval = only(rows_of([float(2**k) for k in range(7)], [False, True, True, False, True, True, False]))
    assert (interval.lower, interval.upper) == approx(2**0.5, 2**5.5)
    assert interval.fraction_stable == pytest.approx(4 / 5)
    assert interval.num_misclassified == 1


def test_replicates_of_one_scale_stay_on_one_side():
    scales = [1.0] * 3 + [2.0] * 3 + [4.0] * 3
    stable = [False, False, True, True, True, False, False, False, False]
    interval = only(rows_of(scales, stable))
    assert (interval.lower, interval.upper) == approx(2**0.5, 2**1.5)
    assert (interval.num_inside, interval.num_stable_inside, interval.num_misclassified) == (3, 2, 2)


def test_a_margin_that_is_zero_or_nan_is_not_stable():
    for margin in (0.0, math.nan, -math.inf):
        assert not only([IntervalInput(10, 1.0, "tanh", 0.0, margin)]).found


def misclassified(stable: list[bool], first: int, end: int) -> int:
    return sum(is_stable != (first <= index < end) for index, is_stable in enumerate(stable))


@given(stable=st.lists(st.booleans(), min_size=1, max_size=14), seed=st.randoms())
def test_no_interval_makes_fewer_mistakes_and_order_does_not_matter(stable, seed):
    rows = rows_of([1.2**k for k in range(len(stable))], stable)
    seed.shuffle(rows)
    interval = only(rows)
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
    margins = 1 - np.abs(ratios)
    return only(
        [IntervalInput(depth, float(s), activation, 0.0, float(m)) for s, m in zip(scales, margins, strict=True)]
    )


@pytest.mark.parametrize(("activation", "depth"), [("relu", 10), ("tanh", 20), ("sigmoid", 10)])
def test_planted_edges_are_found(activation: str, depth: int):
    planted = band_edges(activation, 0.0, depth)
    clean = planted_interval(activation, depth, 0.0, seed=1)
    assert clean.theory == planted
    assert clean.num_misclassified == 0
    assert (clean.lower, clean.upper) == approx(planted.lower, planted.upper, rel=0.025)

    noisy = [planted_interval(activation, depth, 0.25, seed) for seed in range(20)]
    lower, upper = (np.array([getattr(interval, edge) for interval in noisy]) for edge in ("lower", "upper"))
    assert (np.exp(np.log(lower).mean()), np.exp(np.log(upper).mean())) == approx(
        planted.lower, planted.upper, rel=0.03
    )
    assert all(0 < interval.num_misclassified < 60 for interval in noisy)


def test_few_depths_stand_alone_and_many_are_put_into_four_bands():
    few = [row for depth in (2, 4, 8, 16, 32) for row in rows_of([1.0], [True], depth=depth)]
    assert [(i.depth_low, i.depth_high) for i in stable_intervals(few)] == [(d, d) for d in (2, 4, 8, 16, 32)]
    many = [row for depth in range(2, 33) for row in rows_of([1.0], [True], depth=depth)]
    bands = stable_intervals(many)
    assert [(i.depth_low, i.depth_high) for i in bands] == [(2, 3), (4, 7), (8, 15), (16, 32)]
    assert sum(i.num_trials for i in bands) == 31
    assert [i.theory_depth for i in bands] == [3, 6, 12, 24]


def test_activations_are_apart_and_in_the_recipes_order():
    rows = [
        *rows_of([1.0, 2.0], [True, False], activation="tanh"),
        *rows_of([1.0, 2.0], [False, True], activation="relu", depth=5),
        *rows_of([1.0, 2.0], [True, True], activation="relu", depth=3),
    ]
    found = [(i.activation, i.depth_low, i.num_stable) for i in stable_intervals(rows)]
    assert found == [("relu", 3, 2), ("relu", 5, 1), ("tanh", 10, 1)]


def test_theory_is_that_of_the_band_asked_for():
    (interval,) = stable_intervals(rows_of([1.0], [True], depth=20, bias_scale=0.1), ratio_band=2.0)
    assert interval.theory == band_edges("tanh", 0.1, 20, 2.0)


def test_no_trials_no_intervals():
    assert stable_intervals([]) == []
