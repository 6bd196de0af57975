"""Where the record, Optuna and MLflow differ: a pure comparison of what each of them holds of the same trials."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from gradstab.record.shown_numbers import SHOWN_DIGITS, rounded

Margin = float | None  # None where the machine failed
TOLERANCE = 1e-3  # of a margin that an older version sent to MLflow, with more digits than SHOWN_DIGITS
_LAST_BITS = 1e-9  # of a margin, which depend on the machine that judges


@dataclass(frozen=True)
class Stored:
    """What Optuna holds: the values of told trials, and the numbers of failed and of running ones."""

    told: Mapping[int, float]
    failed: frozenset[int]
    running: frozenset[int]


@dataclass(frozen=True)
class ShippedRun:
    """A run of a trial in MLflow."""

    run_id: str
    ended: bool
    margin: Margin


@dataclass(frozen=True)
class Shipped:
    """What MLflow holds of a study.

    Attributes:
        parents: statuses of the study's own runs.
        trials: the runs of each trial, by the trial's number.
        segments: names of the segments among the artifacts.
        table: numbers of the trials in the study's table.
        num_experiments: how many experiments hold runs of the study.
    """

    parents: tuple[str, ...]
    trials: Mapping[int, tuple[ShippedRun, ...]]
    segments: frozenset[str]
    table: tuple[int, ...]
    num_experiments: int = 1


@dataclass(frozen=True)
class Finding:
    """A difference between two places, and what repairs it."""

    where: Literal["segments", "Optuna", "MLflow"]
    what: str
    numbers: tuple[int, ...] = ()
    mended_by: str = "--repair"


def storage_findings(recorded: Mapping[int, Margin], stored: Stored) -> list[Finding]:
    """What Optuna does not hold, or holds with another value than the record."""
    known = stored.told.keys() | stored.failed | stored.running
    wrong = [
        number
        for number, value in stored.told.items()
        if number in recorded and (recorded[number] is None or recorded[number] != value)
    ]
    wrong += [number for number in stored.failed if recorded.get(number) is not None]
    unrecorded = [number for number in stored.told if number not in recorded]
    return [
        *_found("Optuna", "recorded, but not there", recorded.keys() - known),
        *_found("Optuna", "recorded, but still running there", recorded.keys() & stored.running),
        *_found("Optuna", "told, but not on record", unrecorded, "gradstab run (trains them again)"),
        *_found("Optuna", "another value than the record's", wrong, "nothing: Optuna keeps a value for ever"),
    ]


def tracking_findings(
    recorded: Mapping[int, Margin], segments: Iterable[str], child_runs: int, shipped: Shipped | None
) -> list[Finding]:
    """What MLflow does not hold, holds twice, or shows with another value than the record.

    The study must not be running meanwhile.

    Args:
        segments: names of the undamaged segments.
        child_runs: trials with a smaller number get a run each.
    """
    if shipped is None:
        return list(_found("MLflow", "the study has no run", recorded)) if recorded else []
    wanted = {number for number in recorded if number < child_runs}
    missing_segments = sorted(set(segments) - shipped.segments)
    findings = [
        *_found("MLflow", "no run", wanted - shipped.trials.keys()),
        *_found("MLflow", "several runs", (n for n, runs in shipped.trials.items() if len(runs) > 1)),
        *_found("MLflow", "a run that never ended", (n for n in wanted if _any(shipped, n, lambda run: not run.ended))),
        *_found("MLflow", "a run with other values than the record's", wrong_runs(recorded, shipped)),
        *_found("MLflow", "a run of a trial that is not on record", shipped.trials.keys() - recorded.keys(), _NEXT_RUN),
        *_found("MLflow", "not in the study's table", recorded.keys() - set(shipped.table)),
        *_found("MLflow", "twice in the study's table", (n for n in recorded if shipped.table.count(n) > 1)),
    ]
    if shipped.num_experiments > 1:
        what = f"{shipped.num_experiments} experiments of the study, of which one was deleted for a while"
        findings.append(Finding("MLflow", what))
    if len(shipped.parents) > 1:
        findings.append(Finding("MLflow", f"{len(shipped.parents)} runs of the study itself"))
    if "RUNNING" in shipped.parents:
        findings.append(Finding("MLflow", "the study's run shows as running, but nobody drives it"))
    if missing_segments:
        findings.append(Finding("MLflow", f"{len(missing_segments)} segments are not among the run's artifacts"))
    return findings


_NEXT_RUN = "gradstab run (trains it again)"


def wrong_runs(recorded: Mapping[int, Margin], shipped: Shipped) -> list[int]:
    """The trials of which an ended run shows another margin than the record."""
    return [
        number
        for number in recorded
        if _any(shipped, number, lambda run, margin=recorded[number]: run.ended and not same(run.margin, margin))
    ]


def same(shown: Margin, margin: Margin) -> bool:
    """Whether a margin in MLflow is the rounded one of the record."""
    if shown is None or margin is None:
        return shown is margin
    if shown == rounded(shown, SHOWN_DIGITS):
        return any(shown == rounded(margin * (1 + part), SHOWN_DIGITS) for part in (0.0, -_LAST_BITS, _LAST_BITS))
    return math.isclose(shown, margin, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _any(shipped: Shipped, number: int, holds: object) -> bool:
    return any(holds(run) for run in shipped.trials.get(number, ()))  # type: ignore[operator]


def _found(
    where: Literal["segments", "Optuna", "MLflow"], what: str, numbers: Iterable[int], mended_by: str = "--repair"
) -> Iterable[Finding]:
    found = tuple(sorted(numbers))
    if found:
        yield Finding(where, what, found, mended_by)
