"""Rows are judged by the median against goal and floor, in the right direction, and survive JSON."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench.measure import Goal, Row, Verdict
from tests.bench.report import markdown, print_verdicts, read_rows, write_json

SPEED = Goal(8, 6)
CPU = Goal(1.3, 1.5, at_most=True)


@pytest.mark.parametrize(
    ("goal", "value", "verdict"),
    [
        (SPEED, 8.0, Verdict.MET),
        (SPEED, 7.9, Verdict.GOAL_MISSED),
        (SPEED, 5.9, Verdict.FLOOR_MISSED),
        (CPU, 1.3, Verdict.MET),
        (CPU, 1.4, Verdict.GOAL_MISSED),
        (CPU, 1.6, Verdict.FLOOR_MISSED),
        (Goal(10, at_most=True), 1000.0, Verdict.GOAL_MISSED),
        (SPEED, math.nan, Verdict.FLOOR_MISSED),
        (CPU, math.nan, Verdict.FLOOR_MISSED),
    ],
)
def test_a_figure_is_judged_in_the_direction_of_its_goal(goal: Goal, value: float, verdict: Verdict) -> None:
    assert goal.verdict(value) is verdict


def test_ratios_are_judged_where_there_are_any_and_one_bad_round_decides_nothing() -> None:
    bare = Row("s", "bare", "1/s", (0.5, 0.5, 0.5))
    ours = Row("s", "ours", "1/s", (4.5, 0.5, 4.25)).to(bare, SPEED)
    assert ours.ratios == (9.0, 1.0, 8.5)
    assert ours.verdict is Verdict.MET
    assert Row("s", "ours", "1/s", (9.0, 1.0, 2.0), goal=SPEED).verdict is Verdict.FLOOR_MISSED
    assert bare.verdict is None


ROWS = [
    Row("line", "fast", "1/s", (9.0,), goal=SPEED),
    Row("line", "slow", "1/s", (7.0,), ratios=(7.0,), against="bare", goal=SPEED, note="n"),
    Row("cost", "dear", "ms", (2.0,), goal=CPU),
    Row("cost", "told", "ms", (2.0,)),
]


def test_rows_come_back_from_json_as_they_were(tmp_path: Path) -> None:
    write_json(ROWS, {"commit": "c"}, tmp_path / "new" / "rows.json")
    assert read_rows(tmp_path / "new" / "rows.json") == ROWS
    assert [Row.load(json.loads(json.dumps(row.dump()))) for row in ROWS] == ROWS


def test_missed_floors_are_listed_before_missed_goals() -> None:
    said = io.StringIO()
    print_verdicts(ROWS, Console(file=said, width=200))
    floors, dear, goals, slow, met = said.getvalue().splitlines()
    assert floors.startswith("FLOORS MISSED (1)")
    assert "cost: dear: 2 ms" in dear
    assert "goal <= 1.3, floor <= 1.5" in dear
    assert goals.startswith("Goals missed (1)")
    assert "line: slow: 7 times bare" in slow
    assert met == "1 of 3 goals met."


def test_markdown_has_a_table_for_each_section_with_equally_many_cells_in_each_line() -> None:
    tables = markdown(ROWS).split("### ")[1:]
    assert [table.splitlines()[0] for table in tables] == ["line", "cost"]
    for table in tables:
        lines = [line for line in table.splitlines() if line.startswith("|")]
        assert len(lines) == 4
        assert len({line.count("|") for line in lines}) == 1
    assert "FLOOR MISSED" in tables[1]
