"""How often the report of a study that runs is made."""

from __future__ import annotations

import pytest

from gradstab.report.pace import LEAST_LEFT_S, RunSoFar, is_remake_due

ENDLESS = 1e9


@pytest.mark.parametrize("cost", [1.0, 4.0, 40.0])
@pytest.mark.parametrize("slots", [1, 2, 64])
def test_reports_take_a_twentieth_of_what_a_run_had_at_most_and_most_of_that(cost: float, slots: int) -> None:
    """A process that starts at a quarter of a report's cost, and makes one whenever it may."""
    spent, reports, seconds = cost / 4, 0, 0
    while seconds < 400 * cost:
        seconds += 1
        if is_remake_due(RunSoFar(slots * seconds, ENDLESS), spent, cost):
            spent, reports = spent + cost, reports + 1
        assert not reports or spent <= slots * seconds / 20
    assert reports > 0.8 * (slots * seconds / 20) / cost - 1 or reports == seconds, "it is not left undone either"


def test_no_report_shortly_before_the_one_at_the_end() -> None:
    rich = 1e6
    assert is_remake_due(RunSoFar(rich, LEAST_LEFT_S + 1), spent=1.0, cost=1.0)
    assert not is_remake_due(RunSoFar(rich, LEAST_LEFT_S - 1), spent=1.0, cost=1.0)
    assert not is_remake_due(RunSoFar(rich, LEAST_LEFT_S + 1), spent=1.0, cost=60.0), "it would not be ready"
