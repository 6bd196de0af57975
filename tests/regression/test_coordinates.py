"""Unit coordinates against the axes' own maps, and distances against what they mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstab.errors import UsageError
from gradstab.regression.coordinates import Coordinates
from gradstab.study.axes import AnyAxis, Choice, Integer, LogInteger, LogReal, Real
from gradstab.study.space import Point, SearchSpace

AXES: dict[str, AnyAxis] = {
    "init_scale": LogReal(0.5, 20.0),
    "bias_scale": Real(0.0, 0.5),
    "depth": LogInteger(2, 50),
    "width": Integer(10, 14),
    "activation": Choice(("tanh", "relu", "sigmoid")),
    "clip": Choice((True, False)),
    "clip_threshold": LogReal(0.01, 10.0),
    "clip_mode": Choice(("norm", "value")),
}
COORDINATES = Coordinates(SearchSpace.model_validate(AXES))
POINT: Point = {
    "init_scale": 2.0, "bias_scale": 0.1, "depth": 7, "width": 12, "activation": "relu", "clip": True,
    "clip_threshold": 1.0, "clip_mode": "norm",
}  # fmt: skip

unit_points = st.lists(st.floats(0, 1), min_size=len(AXES), max_size=len(AXES)).map(lambda row: np.array([row]))


@given(unit_points)
def test_snapping_agrees_with_the_axes_and_changes_no_value(unit_1D):
    snapped_1D = COORDINATES.snapped(unit_1D)
    (point,) = COORDINATES.points(unit_1D)
    (again,) = COORDINATES.points(snapped_1D)
    assert {name: point[name] for name in point if not isinstance(point[name], float)} == {
        name: again[name] for name in again if not isinstance(again[name], float)
    }
    np.testing.assert_allclose(COORDINATES.unit([point]), snapped_1D, atol=1e-12)


def distance(first: Point, second: Point) -> float:
    features_2F = COORDINATES.features(COORDINATES.unit([first, second]))
    return float(np.linalg.norm(features_2F[0] - features_2F[1]))


def test_two_different_choices_are_one_apart_whichever_they_are():
    points = [{**POINT, "activation": name} for name in ("tanh", "relu", "sigmoid")]
    assert [distance(points[0], points[1]), distance(points[0], points[2])] == pytest.approx([1, 1])
    assert distance(points[1], {**points[1]}) == 0


def test_log_axes_measure_ratios():
    assert distance({**POINT, "init_scale": 1.0}, {**POINT, "init_scale": 2.0}) == pytest.approx(
        math.log(2) / math.log(40)
    )


def test_an_axis_without_effect_does_not_tell_points_apart():
    off = {**POINT, "clip": False}
    assert distance(off, {**off, "clip_threshold": 9.0, "clip_mode": "value"}) == 0
    assert distance(POINT, {**POINT, "clip_threshold": 9.0}) > 0
    assert distance(POINT, {**POINT, "clip_mode": "value"}) == pytest.approx(1)


def test_an_axis_counts_where_what_it_hangs_on_is_no_axis():
    coordinates = Coordinates(SearchSpace.model_validate({"clip_threshold": LogReal(0.1, 10)}))
    features_2F = coordinates.features(coordinates.unit([{"clip_threshold": 0.2}, {"clip_threshold": 5.0}]))
    assert abs(features_2F[0, 0] - features_2F[1, 0]) > 0.5


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"init_scale": 0.4}, r"init_scale must be a number within \[0.5, 20\], got 0.4"),
        ({"init_scale": math.nan}, r"init_scale must be a number within \[0.5, 20\], got nan"),
        ({"depth": "7"}, r"depth must be a whole number within \[2, 50\], got '7'"),
        ({"activation": "gelu"}, r"activation must be one of 'tanh', 'relu', 'sigmoid', got 'gelu'"),
        ({"clip": 1}, r"clip must be one of True, False, got 1"),
    ],
)
def test_points_outside_the_space_are_refused_in_words(change, sentence):
    with pytest.raises(UsageError, match=sentence):
        COORDINATES.unit([{**POINT, **change}])


def test_a_point_that_lacks_an_axis_is_refused():
    with pytest.raises(UsageError, match="needs a value for every axis of the space, but depth has none"):
        COORDINATES.unit([{name: value for name, value in POINT.items() if name != "depth"}])


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan, math.inf])
def test_unit_coordinates_outside_the_cube_are_refused(wrong):
    with pytest.raises(UsageError, match="must lie in"):
        COORDINATES.snapped(np.full((1, len(AXES)), wrong))


def test_volume_is_the_share_of_random_trials():
    """An integer axis has equal cells, a log-integer one those of its rounding."""
    unit_ND = COORDINATES.sobol(12, seed=0)
    points = COORDINATES.points(unit_ND)
    assert np.mean([point["width"] == 12 for point in points]) == pytest.approx(1 / 5, abs=0.01)
    assert np.mean([point["depth"] == 2 for point in points]) == pytest.approx(
        math.log(2.5 / 1.5) / math.log(50.5 / 1.5), abs=0.01
    )
    assert len(np.unique(COORDINATES.choice(unit_ND))) == 3 * 2 * 2


def test_an_axis_is_set_by_value():
    unit_D = COORDINATES.unit([POINT])[0]
    (point,) = COORDINATES.points(COORDINATES.with_axis(unit_D, {"depth": 30, "activation": "tanh"})[None])
    assert (point["depth"], point["activation"], point["width"]) == (30, "tanh", 12)
    with pytest.raises(UsageError, match="the study has no axis"):
        COORDINATES.with_axis(unit_D, {"dept": 30})
