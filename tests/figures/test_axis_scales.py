"""Axes of figures: values lie where they are searched, and every view of an axis has readable ticks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gradstab.figures.axis_scales import NumericAxis, show_axis, value_at
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


def labels(axis: NumericAxis, low: float, high: float) -> list[str]:
    figure = Figure()
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    show_axis(axes, "x", axis)
    axes.set_xlim(low, high)
    figure.draw_without_rendering()
    inside = [tick for tick in axes.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [tick.label1.get_text() for tick in inside]


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
