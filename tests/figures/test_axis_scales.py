"""Axes of figures: values lie where they are searched, and every view of an axis has readable ticks."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gradstab.figures.axis_scales import NumericAxis, layer_ticks, show_axis, spread, value_at
from gradstab.figures.scaffold import TICKS
from gradstab.study.axes import Integer, LogInteger, LogReal, Real

AXES: list[NumericAxis] = [
    Real(-1.0, 3.0), Real(0.0, 1e-6), LogReal(0.5, 8.0), LogReal(2.1, 2.9), LogReal(1e-9, 10.0), Integer(1, 5),
    Integer(2, 1000), LogInteger(1, 2), LogInteger(2, 8), LogInteger(2, 4096),
]  # fmt: skip


@pytest.mark.parametrize("axis", AXES, ids=str)
@given(share=st.floats(0, 1))
def test_a_value_lies_where_it_is_searched(axis, share):
    value = axis.from_unit(share)
    assert float(value_at(axis, axis.to_unit(value))) == pytest.approx(value)


PANELS = {"x": (2.9, 1.6), "y": (3.5, 3.05)}  # inches, of the smallest panel that has such an axis


def shown(
    axis: NumericAxis, low: float, high: float, direction: Literal["x", "y"] = "x"
) -> dict[str, tuple[float, float]]:
    """The labels of an axis of the smallest panel, and from where to where each reaches along it, in points."""
    figure = Figure(figsize=PANELS[direction], dpi=72, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    show_axis(axes, direction, axis)
    axes.set(**{f"{direction}lim": (low, high)})
    axes.tick_params(labelsize=TICKS)
    figure.draw_without_rendering()
    ticks = (axes.xaxis if direction == "x" else axes.yaxis).get_major_ticks()
    slack = 1e-9 * (high - low)
    inside = [tick.label1 for tick in ticks if low - slack <= tick.get_loc() <= high + slack]
    boxes = {label.get_text(): label.get_window_extent() for label in inside}
    return {text: (box.x0, box.x1) if direction == "x" else (box.y0, box.y1) for text, box in boxes.items()}


def labels(axis: NumericAxis, low: float, high: float) -> list[str]:
    return list(shown(axis, low, high))


@pytest.mark.parametrize("direction", ["x", "y"])
@pytest.mark.parametrize("axis", [*AXES, LogReal(0.0316, 0.95), LogInteger(2, 24), LogInteger(2, 32)], ids=str)
def test_the_ends_of_an_axis_are_named_and_no_two_labels_overlap(axis, direction):
    low, high = value_at(axis, [0, 1]).tolist()
    found = shown(axis, low, high, direction)
    texts = list(found)
    assert float(texts[0]) == pytest.approx(axis.low, rel=0.01)
    assert float(texts[-1]) == pytest.approx(axis.high, rel=0.01)
    for before, after in pairwise(found.values()):
        assert after[0] > before[1]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (LogInteger(2, 32), ["2", "4", "8", "16", "32"]),
        (LogInteger(2, 30), ["2", "5", "10", "20", "30"]),
        (LogReal(0.5, 20), ["0.5", "1", "2", "5", "10", "20"]),
        (Integer(2, 12), ["2", "4", "6", "8", "10", "12"]),
    ],
    ids=str,
)
def test_ticks_of_axes_that_studies_have(axis, expected):
    low, high = value_at(axis, [0, 1]).tolist()
    assert list(shown(axis, low, high, "y")) == expected


@pytest.mark.parametrize("num_layers", [1, 2, 7, 24, 32, 33, 100, 301])
def test_layers_are_named_from_the_first_to_the_last(num_layers):
    found = layer_ticks(num_layers)
    assert (found[0], found[-1]) == (1, num_layers)
    assert found == sorted(set(found))
    assert len(found) <= 9


def test_indices_are_spread_over_both_ends():
    assert spread(16, 6) == [0, 3, 6, 9, 12, 15]
    assert spread(12, 6) == [0, 2, 4, 7, 9, 11]
    assert spread(1, 6) == [0]


@pytest.mark.parametrize("axis", AXES, ids=str)
def test_ticks_are_few_different_and_right(axis):
    found = labels(axis, *value_at(axis, [0, 1]).tolist())
    assert 2 <= len(found) <= 9
    assert len(set(found)) == len(found)
    if axis.is_whole:
        assert all(float(label).is_integer() for label in found)


def test_depths_of_a_small_log_axis_are_all_named():
    assert labels(LogInteger(2, 8), 1.5, 8.5) == ["2", "3", "4", "5", "6", "7", "8"]


@pytest.mark.parametrize("axis", [LogReal(0.5, 8.0), LogReal(1e-9, 10.0), Real(-1.0, 3.0)], ids=str)
def test_a_user_who_zooms_in_still_has_ticks(axis):
    middle = float(value_at(axis, 0.6))
    found = labels(axis, middle, middle * 1.05)
    assert len(set(found)) >= 2


def test_the_unit_interval_is_even_in_log():
    steps = np.diff(np.log(value_at(LogReal(0.1, 10.0), np.linspace(0, 1, 5))))
    assert steps == pytest.approx(np.full(4, np.log(100) / 4))
