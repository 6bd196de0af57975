"""Tables as the terminal shows them: no word or number is broken, and nothing is lost, at any width."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gradstab.display.table import table_lines, table_text

WORDS = st.text("abcxyz0123456789._/", min_size=1, max_size=24)
CELLS = st.lists(WORDS, max_size=6).map(" ".join)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    width = draw(st.integers(1, 6))
    columns = draw(st.lists(CELLS.filter(bool), min_size=width, max_size=width))
    return columns, draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=4))


@given(tables(), st.sampled_from([40, 80, 120]))
def test_every_word_is_whole_and_no_line_is_too_long(table, width):
    columns, rows = table
    lines = table_lines(columns, rows, width)
    shown = [word for line in lines for word in line.split()]
    for row in rows:
        for cell in row:
            assert set(cell.split()) <= set(shown)
    names, longest = (
        max(map(len, columns)) + 2,
        max((len(word) for row in rows for c in row for word in c.split()), default=0),
    )
    fits_as_a_list = max(width, names + max(20, longest))
    assert all(len(line) <= fits_as_a_list for line in lines), lines


def test_numbers_stand_right_under_each_other_and_words_left():
    lines = table_lines(["verdict", "trials", "share"], [["stable", 5, "12 %"], ["vanishing", 120, "8 %"]])
    assert lines == ["verdict    trials  share", "stable          5   12 %", "vanishing     120    8 %"]


def test_a_table_that_cannot_fit_becomes_a_list():
    path = "/a/folder/" + 90 * "x"
    lines = table_lines(["what", "where"], [["results", path], ["runs", "here"]])
    assert lines == ["what   results", f"where  {path}", "", "what   runs", "where  here"]


def test_the_title_wraps_too():
    assert table_text("one two three", ["a"], [[1]], 8).splitlines()[:2] == ["one two", "three"]
