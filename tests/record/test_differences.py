"""What differs between record, Optuna and MLflow, against sets of numbers that are damaged on purpose."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstab.record.differences import Shipped, ShippedRun, Stored, storage_findings, tracking_findings, wrong_runs

MARGINS = {0: 0.5, 1: -1.25, 2: None, 3: 0.125}
NUMBERS = st.frozensets(st.integers(0, 3))


def stored(margins: dict[int, float | None]) -> Stored:
    told = {number: margin for number, margin in margins.items() if margin is not None}
    return Stored(told, frozenset(margins.keys() - told.keys()), frozenset())


def shipped(margins: dict[int, float | None]) -> Shipped:
    runs = {n: (ShippedRun(f"run{n}", True, None if m is None else m * 1.0001),) for n, m in margins.items()}
    return Shipped(("FINISHED",), runs, frozenset({"a.npz"}), tuple(margins))


def by_what(findings: object) -> dict[str, set[int]]:
    return {finding.what: set(finding.numbers) for finding in findings}  # type: ignore[attr-defined]


def test_places_that_agree_have_no_findings() -> None:
    assert storage_findings(MARGINS, stored(MARGINS)) == []
    assert tracking_findings(MARGINS, ["a.npz"], 10, shipped(MARGINS)) == []
    assert tracking_findings({}, [], 10, None) == []


@given(lost=NUMBERS, running=NUMBERS, unrecorded=NUMBERS)
def test_what_optuna_lacks_runs_or_has_alone(lost, running, unrecorded) -> None:
    running -= lost
    recorded = {n: m for n, m in MARGINS.items() if n not in unrecorded}
    kept = stored({n: m for n, m in MARGINS.items() if n not in lost | running})
    found = by_what(storage_findings(recorded, Stored(kept.told, kept.failed, running)))
    assert found.pop("recorded, but not there", set()) == lost - unrecorded
    assert found.pop("recorded, but still running there", set()) == running - unrecorded
    assert found.pop("told, but not on record", set()) == (unrecorded - lost - running) - {2}
    assert found == {}


@given(missing=NUMBERS, twice=NUMBERS, open_=NUMBERS, wrong=NUMBERS)
def test_what_mlflow_lacks_has_twice_never_ended_or_shows_otherwise(missing, twice, open_, wrong) -> None:
    runs = {}
    for n, margin in MARGINS.items():
        if n in missing:
            continue
        shown = (margin or 0.0) + 1.0 if n in wrong else margin
        run = ShippedRun(f"run{n}", n not in open_, shown)
        runs[n] = (run, run) if n in twice else (run,)
    found = by_what(tracking_findings(MARGINS, ["a.npz"], 10, Shipped(("FINISHED",), runs, frozenset({"a.npz"}), (0, 1, 2, 3))))  # fmt: skip
    assert found.pop("no run", set()) == missing
    assert found.pop("several runs", set()) == twice - missing
    assert found.pop("a run that never ended", set()) == open_ - missing
    assert found.pop("a run with other values than the record's", set()) == wrong - missing - open_
    assert found == {}


def test_the_study_s_own_run_its_segments_and_its_table() -> None:
    whole = shipped(MARGINS)
    damaged = Shipped(("RUNNING", "FINISHED"), whole.trials, frozenset(), (0, 1, 1, 3))
    found = by_what(tracking_findings(MARGINS, ["a.npz", "b.npz"], 10, damaged))
    assert found == {
        "not in the study's table": {2},
        "twice in the study's table": {1},
        "2 runs of the study itself": set(),
        "the study's run shows as running, but nobody drives it": set(),
        "2 segments are not among the run's artifacts": set(),
    }
    assert by_what(tracking_findings(MARGINS, [], 10, None)) == {"the study has no run": {0, 1, 2, 3}}


def test_trials_without_a_run_by_policy_are_not_missed() -> None:
    few = {n: runs for n, runs in shipped(MARGINS).trials.items() if n < 2}
    held = Shipped(("FINISHED",), few, frozenset(), tuple(MARGINS))
    assert tracking_findings(MARGINS, [], 2, held) == []


def test_a_trial_that_failed_in_storage_and_was_measured_on_record_is_found() -> None:
    (found,) = storage_findings({3: 0.5, 4: None}, Stored({}, frozenset({3, 4}), frozenset()))
    assert (found.where, found.what, found.numbers) == ("Optuna", "another value than the record's", (3,))


def is_wrong(shown: float, margin: float) -> bool:
    return wrong_runs({0: margin}, Shipped((), {0: (ShippedRun("run", True, shown),)}, frozenset(), ())) == [0]


@given(st.floats(1e-6, 300.0), st.sampled_from((-1, 1)), st.sampled_from((-1, 1)))
def test_a_margin_with_three_digits_agrees_in_all_three(size, sign, step) -> None:
    shown = float(f"{sign * size:.2e}")
    unit = 10.0 ** (math.floor(math.log10(abs(shown))) - 2)
    assert not is_wrong(shown, sign * size)
    beside = float(f"{shown + step * unit:.2e}")
    assert is_wrong(beside, shown)


@pytest.mark.parametrize(
    ("shown", "margin", "wrong"),
    [
        (0.0, 0.0, False),
        (0.0, 1e-9, True),
        (12.0, 12.0, False),
        (1234.0, 1234.0, False),  # a whole number keeps its digits
        (0.124, 0.1235 - 1e-12, False),  # the last bits of a margin depend on the machine
        (0.123, 0.1235 + 1e-12, False),
        (0.123456, 0.123999, False),  # with six digits, as older versions sent them
        (0.123456, 0.124999, True),
        (123.456, 123.5, False),
        (123.456, 123.9, True),
    ],
)
def test_margins_of_every_version_are_compared_as_they_were_rounded(shown, margin, wrong) -> None:
    assert is_wrong(shown, margin) is wrong
