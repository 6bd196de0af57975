"""What every axis type can do, whatever its type: nobody outside asks which type it is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstab import Choice, Integer, LogInteger, LogReal, Real
from gradstab.study.axes import AnyAxis

AXES = (
    Real(-1, 2),
    LogReal(0.1, 10),
    Integer(-2, 5),
    LogInteger(1, 9),
    Choice(("tanh", "relu", "gelu")),
    Choice((False, True)),
    Choice((1, 2.5, "1", True)),
)


@given(axis=st.sampled_from(AXES), u=st.floats(0, 1))
def test_a_value_goes_to_the_unit_interval_and_back(axis: AnyAxis, u: float) -> None:
    value = axis.from_unit(u)
    assert axis.contains(value)
    back = axis.from_unit(axis.to_unit(value))
    assert type(back) is type(value)
    assert back == (pytest.approx(value, rel=1e-12, abs=1e-12) if isinstance(value, float) else value)


@given(axis=st.sampled_from(AXES), u=st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_snapped_coordinates_are_those_of_the_values(axis: AnyAxis, u: list[float]) -> None:
    snapped = axis.snap(np.array(u))
    assert snapped == pytest.approx([axis.to_unit(axis.from_unit(one)) for one in u], abs=1e-12)
    assert axis.snap(snapped) == pytest.approx(snapped, abs=1e-12)


@given(axis=st.sampled_from(AXES[:6]), u=st.floats(0, 1))
def test_a_value_is_read_back_as_it_is_typed(axis: AnyAxis, u: float) -> None:
    value = axis.from_unit(u)
    assert axis.parse(repr(value) if isinstance(value, float) else str(value)) == value


@pytest.mark.parametrize(("text", "value"), [("on", True), ("OFF", False), ("true", True), ("no", False)])
def test_words_mean_switches(text: str, value: bool) -> None:
    assert Choice((False, True)).parse(text) is value


@pytest.mark.parametrize(
    ("axis", "value"),
    [
        (Real(0, 1), 1.1), (Real(0, 1), math.nan), (Real(0, 1), math.inf), (Real(0, 1), True), (Real(0, 1), "0.5"),
        (Integer(1, 4), 2.5), (Integer(1, 4), 0), (LogInteger(1, 4), 5), (Choice((1, 2)), True), (Choice((True,)), 1),
        (Choice(("a",)), "b"), (Integer(1, 4), math.inf), (Integer(1, 4), math.nan),
    ],
)  # fmt: skip
def test_what_lies_outside_is_not_contained(axis: AnyAxis, value: float | str) -> None:
    assert not axis.contains(value)


@pytest.mark.parametrize(
    ("axis", "text", "sentence"),
    [
        (Integer(1, 4), "2.5", "must be a whole number, got 2.5"),
        (Integer(1, 4), "nan", "must be a finite number, got nan"),
        (LogReal(1, 4), "1e999", "must be a finite number, got 1e999"),
        (LogReal(1, 4), "two", "must be a number, got 'two'"),
        (Choice(("tanh", "relu")), "Tanh", "must be one of tanh, relu, got 'Tanh'"),
    ],
)
def test_a_text_that_means_no_value_ends_in_a_sentence(axis: AnyAxis, text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        axis.parse(text)


@pytest.mark.parametrize(
    ("axis", "ends"),
    [
        (Real(-1, 2), (-1, 2)),
        (LogReal(0.1, 10), (math.log(0.1), math.log(10))),
        (Integer(-2, 5), (-2.5, 5.5)),
        (LogInteger(1, 9), (math.log(0.5), math.log(9.5))),
    ],
)
def test_the_unit_interval_is_even_between_the_ends(
    axis: Real | LogReal | Integer | LogInteger, ends: tuple[float, float]
) -> None:
    assert axis.ends() == pytest.approx(ends)
