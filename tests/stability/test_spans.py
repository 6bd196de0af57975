"""Spans, contributions, theory at many settings and points of a region, against definitions and planted truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradstab.activations.registry import LIBRARY
from gradstab.errors import UsageError
from gradstab.stability.contributions import contributions
from gradstab.stability.estimator import Estimator, fit_estimator
from gradstab.stability.phase_diagram import cloud, phase_diagram
from gradstab.stability.region import find_regions
from gradstab.stability.region_at import region_at
from gradstab.stability.spans import lines
from gradstab.study.axes import Choice, LogInteger, LogReal
from gradstab.study.recipe import Recipe
from gradstab.study.space import SearchSpace
from gradstab.theory.critical_scales import predicted_ratio
from gradstab.theory.ratio_field import predicted_field
from tests.problems import RATIO, Problem, disc, half_plane, ridge, two_islands


def estimated(problem: Problem, trials: int = 200) -> Estimator:
    unit_ND = problem.coordinates.sobol(8, 0)[:trials]
    points = problem.coordinates.points(unit_ND)
    return fit_estimator(
        problem.space, points, problem.measure(unit_ND, np.random.default_rng(0)), problem.bands
    )  # fmt: skip


def test_spans_end_where_the_planted_region_does():
    """On a line through both islands: 0.25 +- .2 and .72 +- .22 at their middles, none beside them."""
    problem = two_islands()
    estimator = estimated(problem)
    rate = problem.coordinates.axis_value("learning_rate", 0.3)
    (line,) = lines(estimator, "init_scale", [{"learning_rate": rate}])
    (span,) = line.region
    unit = [math.log(float(value) / 0.5) / math.log(8) for value in (span.low, span.high)]
    assert unit == pytest.approx([0.05, 0.45], abs=0.02)
    between = problem.coordinates.axis_value("learning_rate", 0.48)
    assert [len(each.region) for each in lines(estimator, "init_scale", [{"learning_rate": between}])] == [2]
    beside = problem.coordinates.axis_value("learning_rate", 0.01)
    assert lines(estimator, "init_scale", [{"learning_rate": beside}])[0].region == ()


def test_spans_say_what_the_estimator_says_there():
    problem = ridge().noisy(0.3)
    estimator = estimated(problem)
    (line,) = lines(estimator, "init_scale", [{"learning_rate": 0.05}])

    def at(value: object) -> tuple[float, float]:
        found = estimator.at([{"init_scale": value, "learning_rate": 0.05}])  # type: ignore[dict-item]
        return float(found.p_region[0]), float(found.p_next[0])

    (span,) = line.region
    assert [at(end)[0] for end in (span.low, span.high)] == pytest.approx([0.5, 0.5], abs=0.05)
    assert [at(end)[1] for end in (span.low, span.middle, span.high)] == pytest.approx(
        [span.p_low, span.p_middle, span.p_high], abs=0.05
    )
    assert span.low_between is not None
    assert span.high_between is not None
    for outer, inner in (span.low_between, span.high_between):
        assert [at(outer)[0], at(inner)[0]] == pytest.approx([0.05, 0.95], abs=0.06)
    places = [span.low_between[0], span.low, span.low_between[1], span.middle]
    places += [span.high_between[1], span.high, span.high_between[0]]
    numbers = [float(place) for place in places if place is not None]
    assert len(numbers) == 7
    assert numbers == sorted(numbers), "each outer place lies outside the end, each inner one inside"
    assert at(line.best)[1] == pytest.approx(line.p_best, abs=2e-3)
    for safe in line.safe:
        assert at(safe.low)[1] == pytest.approx(0.95, abs=0.02)


def test_a_line_along_a_choice_is_refused():
    space = SearchSpace.model_validate({"activation": Choice(("tanh", "relu")), "init_scale": LogReal(1, 2)})
    estimator = fit_estimator(space, [{"activation": "tanh", "init_scale": 1.5}], {"R": [0.0]}, [RATIO])
    with pytest.raises(UsageError, match="numeric axis"):
        lines(estimator, "activation", [{"init_scale": 1.0}])


def test_contributions_of_a_plane_are_the_squares_of_its_slopes():
    """T = 10 (.8 u + .6 v - .6): u alone has .64 of the variance, v .36."""
    found = {each.axis: each.of_response["T"] for each in contributions(estimated(half_plane()))}
    assert found["init_scale"] == pytest.approx(0.64, abs=0.04)
    assert found["learning_rate"] == pytest.approx(0.36, abs=0.04)


def test_an_axis_without_effect_contributes_nothing():
    plain = half_plane()
    problem = Problem("u alone", plain.axes, plain.bands, lambda unit_ND: {"T": 9 * unit_ND[:, 0] - 3})
    shares = {each.axis: each for each in contributions(estimated(problem))}
    assert shares["learning_rate"].of_region < 0.01
    assert shares["init_scale"].of_region == pytest.approx(1, abs=0.08)


@given(
    activation=st.sampled_from(LIBRARY),
    scales=st.lists(st.floats(0.1, 30), min_size=1, max_size=4),
    depths=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    bias=st.sampled_from([0.0, 0.05, 0.5]),
)
@settings(max_examples=40, deadline=None)
def test_theory_at_many_settings_is_theory_at_each(activation, scales, depths, bias):
    recipes = [
        Recipe(activation=activation, init_scale=scale, bias_scale=bias, depth=depth)
        for scale in scales
        for depth in depths
    ]
    expected = [
        min(37.0, max(-37.0, predicted_ratio(activation, r.init_scale, bias, r.depth))) if r.depth > 1 else 0.0
        for r in recipes
    ]
    np.testing.assert_allclose(predicted_field(recipes), expected, atol=1e-9)


def test_the_point_farthest_inside_a_disc_is_its_middle_and_the_cliff_one_radius_off():
    problem = disc()
    estimator = estimated(problem)
    points = problem.coordinates.points(problem.coordinates.sobol(8, 0)[:200])
    found = region_at(estimator, {}, points, {})
    unit_D = problem.coordinates.unit([found.point])[0]
    assert unit_D == pytest.approx([0.55, 0.45], abs=0.06)
    assert found.cliff is not None
    assert found.cliff.distance == pytest.approx(0.3 - np.hypot(*(unit_D - [0.55, 0.45])), abs=0.03)
    assert found.cliff.side == "untrained"
    assert found.safe_share == pytest.approx(math.pi * 0.3**2, abs=0.04)
    index, distance = found.nearest[0]
    every = np.hypot(*(problem.coordinates.unit(points) - unit_D).T)
    assert index == int(every.argmin())
    assert distance == pytest.approx(float(every.min()))


def test_beyond_the_cliff_there_is_no_cliff_to_fall_from():
    problem = disc()
    point = problem.coordinates.points(np.array([[0.05, 0.95]]))[0]
    found = region_at(estimated(problem), point, [point], {})
    assert (found.lines, found.cliff, found.p_next < 0.01) == ((), None, True)
    assert [index for index, _ in found.nearest] == [0]
    assert found.nearest[0][1] == pytest.approx(0.0)


SPACE = SearchSpace.model_validate(
    {"init_scale": LogReal(0.5, 4.0), "depth": LogInteger(2, 30), "clip": Choice((False, True))}
)


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ({"depth": 50}, "lies outside what was searched, 2 to 30"),
        ({"depth": 1}, "lies outside"),
        ({"depth": 5.5}, "whole number"),
        ({"depth": "deep"}, "finite number"),
        ({"init_scale": math.nan}, "finite number"),
        ({"init_scale": math.inf}, "finite number"),
        ({"clip": "maybe"}, "lies outside what was searched: false, true"),
        ({"clip": 1}, "lies outside what was searched"),
        ({"width": 32}, "the study fixed width = 64"),
        ({"nonsense": 1}, "its axes are init_scale, depth, clip"),
    ],
)
def test_what_was_not_searched_is_refused_in_words(at, words):
    point = {"init_scale": 1.0, "depth": 4, "clip": True}
    estimator = fit_estimator(SPACE, [point], {"R": [0.0]}, [RATIO])
    with pytest.raises(UsageError, match=words):
        region_at(estimator, at, [point], {"width": 64})


def test_open_choices_each_get_their_spans():
    rng = np.random.default_rng(0)
    points = [SPACE.point_from_unit(dict(zip(SPACE.names(), rng.random(3).tolist(), strict=True))) for _ in range(60)]
    ratio = [4 * math.log10(float(p["init_scale"]) / (2.0 if p["clip"] else 1.0)) for p in points]
    found = region_at(fit_estimator(SPACE, points, {"R": ratio}, [RATIO]), {"depth": 5}, points, {"width": 64})
    spans = {line.held["clip"]: line.region[0] for line in found.lines if line.axis == "init_scale"}
    assert found.at == {"depth": 5}
    assert float(spans[False].high) == pytest.approx(10**0.25, rel=0.05)
    assert float(spans[True].low) == pytest.approx(2 * 10**-0.25, rel=0.05)


def test_one_numeric_axis_and_one_interval_is_one_piece_a_choice():
    space = SearchSpace.model_validate({"depth": LogInteger(6, 96), "clip": Choice((False, True))})
    points = [{"depth": depth, "clip": clip} for depth in range(6, 97, 3) for clip in (False, True)]
    ratio = [3 * math.log10(p["depth"] / (20 if p["clip"] else 40)) for p in points]
    estimator = fit_estimator(space, points, {"R": ratio}, [RATIO])
    found = find_regions(estimator, phase_diagram(estimator, cloud(estimator.coordinates)))
    assert [part.choices["clip"] for part in found.parts] in ([False, True], [True, False])
    ends = {part.choices["clip"]: part.extent["depth"] for part in found.parts}
    assert float(ends[False].low) == pytest.approx(40 * 10 ** (-1 / 3), abs=1.6)
    assert float(ends[True].high) == pytest.approx(20 * 10 ** (1 / 3), abs=1.6)
