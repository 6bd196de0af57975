"""Numbers as the user reads them."""

from __future__ import annotations

import math

import pytest

from gradstab.display.numbers import (
    cell_text,
    count_range_text,
    counted,
    duration_text,
    interval_text,
    length_text,
    named_value_text,
    numbered_text,
    numbers_text,
    percent_text,
    point_text,
    setting_text,
    size_text,
    value_text,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"), (True, "true"), (False, "false"), ("relu", "relu"), (12345, "12345"), (0.0, "0"), (1.0, "1"),
        (1.41421, "1.41"), (-0.05, "-0.05"), (123.4, "123"), (0.00123, "0.00123"), (0.000123, "1.23e-04"),
        (12345.6, "1.23e+04"), (math.inf, "inf"), (-math.inf, "-inf"), (math.nan, "nan"),
    ],
)  # fmt: skip
def test_a_value_has_three_digits(value, text):
    assert value_text(value) == text


def test_a_setting_is_written_as_mlflow_finds_it():
    assert [setting_text(each) for each in (True, False, 0.123456, 7, "tanh")] == [
        "true", "false", "0.1235", "7", "tanh",
    ]  # fmt: skip
    assert [cell_text(each) for each in (0.123456, 7, None, "x")] == ["0.1235", "7", "", "x"]


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0, "0 %"), (0.0004, "< .1 %"), (0.0012, "0.1 %"), (0.0234, "2.3 %"), (0.1, "10 %"), (0.999, "100 %")],
)
def test_per_cent(fraction, text):
    assert percent_text(fraction) == text


@pytest.mark.parametrize(
    ("low_open", "high_open", "text"),
    [
        (True, True, "everywhere"),
        (True, False, "up to 2.5"),
        (False, True, "from 1.25"),
        (False, False, "1.25 to 2.5"),
    ],
)
def test_an_open_end_is_left_out(low_open, high_open, text):
    assert interval_text(1.25, 2.5, low_open=low_open, high_open=high_open) == text


def test_runs_of_numbers_are_ranges():
    assert numbers_text([9, 3, 7, 8, 8]) == "3, 7-9"
    assert numbers_text([]) == ""
    assert (count_range_text(4, 4), count_range_text(4, 7)) == ("4", "4-7")
    assert numbered_text([5, 6]) == "2: 5, 6"
    assert numbered_text(range(10)) == "10: 0, 1, 2, 3, 4, 5, 6, 7 ..."
    assert numbered_text([]) == ""


def test_durations_sizes_and_lengths():
    assert [duration_text(each) for each in (0, 65.4, 7390)] == ["0:00", "1:05", "2:03:10"]
    assert [size_text(each) for each in (12, 12_000, 3.4e6, 1.2e12)] == ["12 B", "12 kB", "3.4 MB", "1.2e+03 GB"]
    assert [length_text(each) for each in (math.inf, 1e-12, 0.123456)] == ["infinity", "0", "0.1235"]


def test_a_point_names_its_axes_and_a_word_stands_alone():
    assert point_text({"init_scale": 1.5, "activation": "relu"}) == "init scale 1.5, activation relu"
    assert named_value_text("activation", "relu") == "relu"
    assert named_value_text("bias_scale", 0.1) == "bias scale 0.1"


def test_a_switch_is_spelled_as_in_a_study_file_and_said_as_in_speech():
    assert (value_text(True), cell_text(False)) == ("true", "false")
    assert (named_value_text("clip", True), point_text({"clip": False})) == ("clip on", "clip off")


def test_things_are_counted_in_their_plural():
    assert [counted(number, "study") for number in (0, 1, 2)] == ["0 studies", "1 study", "2 studies"]
    assert [counted(number, "trial") for number in (1, 3)] == ["1 trial", "3 trials"]
