"""The recorded trials of a study, judged: one row each, read from the segments.

Axes: L hidden layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradstab.record.network_settings import network_settings
from gradstab.record.segments import CorruptSegmentError, Record, read_segment, segment_paths
from gradstab.stability.judgement import Judgement, judge
from gradstab.study.axes import Value
from gradstab.study.criterion import MEANING_OF_VERDICT, MEANING_WITHOUT_OUTCOME, Criterion
from gradstab.study.response_band import ResponseBand, band_of
from gradstab.study.responses.registry import RESPONSES

FAILED = "failed"  # the verdict of a trial whose machine failed


@dataclass(frozen=True)
class MeasuredTrial:
    """What a training that took place showed.

    Attributes:
        accuracy: at the last probe; NaN where it was not read.
        log10_delta_norm_L: gradient norm at initialisation, decades.
        taps: what the layers are called in a module; empty for the built-in family.
    """

    judgement: Judgement
    accuracy: float
    log10_delta_norm_L: NDArray[np.float32]
    taps: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrialRow:
    """One recorded trial; its trajectory stays on disk.

    Attributes:
        segment: the file that holds the trajectory.
        init_scale: absolute, also where the study gives a relative one; from the record.
        seconds: from start to end of its training.
        retry_of: number of the failed trial that this one repeats.
        failure: why the machine failed; None for a measured trial.
        measured: None where the machine failed.
    """

    number: int
    segment: Path
    point: dict[str, Value]
    init_scale: Value | None
    seed: int
    attempts: int
    device: str
    seconds: float
    retry_of: int | None
    failure: str | None
    measured: MeasuredTrial | None

    @property
    def verdict(self) -> str:
        """One of the seven verdicts, or `failed`."""
        return FAILED if self.measured is None else self.measured.judgement.verdict

    def columns(self) -> dict[str, Value | None]:
        """The row of the table of trials, by column."""
        found: dict[str, Value | None] = dict(self.point)
        if self.init_scale is not None:
            found["init_scale"] = self.init_scale
        found |= {"seed": self.seed, "attempts": self.attempts, "device": self.device, "seconds": self.seconds}
        if self.retry_of is not None:
            found["retry_of"] = self.retry_of
        if self.measured is None:
            return {**found, "verdict": self.verdict, "failure": self.failure}
        judgement = self.measured.judgement
        return {
            **found,
            **{RESPONSES[letter].name: value for letter, value in judgement.responses.items()},
            "gradient_rate": judgement.rate,
            "margin": judgement.margin,
            "phase": judgement.phase,
            "outcome": judgement.outcome,
            "verdict": judgement.verdict,
            "gradient_flag": judgement.flag,
            "tail_loss": judgement.tail_loss,
            "accuracy": self.measured.accuracy,
        }


def trial_row(record: Record, segment: Path, criterion: Criterion) -> TrialRow:
    """A record judged by a criterion."""
    return TrialRow(
        number=record.number,
        segment=segment,
        point=dict(record.point),
        init_scale=network_settings(record.recipe).get("init_scale"),
        seed=record.seed,
        attempts=record.attempts,
        device=record.device,
        seconds=(record.finished_ms - record.started_ms) / 1000,
        retry_of=record.retry_of,
        failure=None if record.failure is None else str(record.failure),
        measured=_measured(record, criterion),
    )


def read_rows(folder: Path, criterion: Criterion) -> tuple[list[TrialRow], list[Path]]:
    """The judged trials of a results folder by number, and the segments that cannot be read.

    The first record of a number counts.
    """
    rows: dict[int, TrialRow] = {}
    corrupt: list[Path] = []
    for path in segment_paths(folder):
        try:
            records = read_segment(path)
        except CorruptSegmentError:
            corrupt.append(path)
            continue
        for record in records:
            rows.setdefault(record.number, trial_row(record, path, criterion))
    return [rows[number] for number in sorted(rows)], corrupt


def measured_trials(rows: list[TrialRow]) -> Iterator[tuple[TrialRow, MeasuredTrial]]:
    """The rows of trials whose machine did not fail."""
    for row in rows:
        if row.measured is not None:
            yield row, row.measured


def _measured(record: Record, criterion: Criterion) -> MeasuredTrial | None:
    if record.trajectory is None:
        return None
    judgement = judge(record.trajectory, criterion)
    return MeasuredTrial(
        judgement=judgement,
        accuracy=float(record.trajectory["accuracy"][-1]),
        log10_delta_norm_L=record.trajectory["log10_delta_norm"][0].astype(np.float32),
        taps=record.trajectory.taps,
    )


@dataclass(frozen=True)
class MeasuredTrials:
    """Judged trials as an estimator takes them; those whose machine failed are left out.

    Attributes:
        points: one value per axis of the space, by trial.
        responses: values by letter of the response, shape (N,) each.
        bands: the bands of those responses.
    """

    numbers: tuple[int, ...]
    points: tuple[dict[str, Value], ...]
    responses: dict[str, NDArray[np.float64]]
    bands: tuple[ResponseBand, ...]

    def in_bands(self, letters: Sequence[str]) -> NDArray[np.bool_]:
        """Whether all of these responses of a trial lie in their bands, shape (N,)."""
        values = [(band, self.responses[band.name]) for band in self.bands if band.name in letters]
        inside: NDArray[np.bool_] = np.all([(value > band.low) & (value < band.high) for band, value in values], axis=0)
        return inside


def meanings_of(rows: list[TrialRow]) -> dict[str, str]:
    """What each verdict means, as far as the outcome of any of these trainings is known."""
    outcomes = {trial.judgement.outcome for _, trial in measured_trials(rows)}
    return MEANING_OF_VERDICT if outcomes & {"trained", "partial", "untrained"} else MEANING_WITHOUT_OUTCOME


def trials_with(
    shown: Sequence[str], counted: Sequence[str], rows: list[TrialRow], criterion: Criterion
) -> MeasuredTrials | None:
    """The trials that have a value of each response; None if there is none.

    Args:
        shown: responses that are left out where a trial lacks them, as T where no loss is known that counts as trained
            (but for trainings that diverged).
        counted: responses that are needed.
    """
    lacking = {
        letter for _, trial in measured_trials(rows) for letter in shown if trial.judgement.responses[letter] is None
    }
    letters = [letter for letter in dict.fromkeys((*shown, *counted)) if letter in counted or letter not in lacking]
    kept: list[tuple[TrialRow, list[float]]] = []
    for row, trial in measured_trials(rows):
        values = [value for letter in letters if (value := trial.judgement.responses[letter]) is not None]
        if len(values) == len(letters):
            kept.append((row, values))
    if not kept:
        return None
    value_NR = np.array([values for _, values in kept])
    return MeasuredTrials(
        numbers=tuple(row.number for row, _ in kept),
        points=tuple(row.point for row, _ in kept),
        responses=dict(zip(letters, value_NR.T, strict=True)),
        bands=tuple(band_of(letter, criterion) for letter in letters),
    )


def side_of(band: ResponseBand, value: float) -> str:
    """Where a response lies, by the names of the marks in figures."""
    if band.diverged_from is not None and value > band.diverged_from:
        return "diverged"
    if value <= band.low:
        return band.low_side
    return "in band" if value < band.high else band.high_side
