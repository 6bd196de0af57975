"""A study's results as the user reads them: a DataFrame of trials with verdicts, and any trial's arrays."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradstab.errors import UsageError
from gradstab.record.segments import CorruptSegmentError, Record, read_segment, segment_paths
from gradstab.record.study_folder import StudyFolder
from gradstab.record.trajectory import Trajectory
from gradstab.responses.registry import RESPONSES, default_letters
from gradstab.stability.intervals import IntervalTable, stable_intervals
from gradstab.stability.judgement import Judgement, judge
from gradstab.study.criterion import Criterion
from gradstab.study.response_band import ResponseBand, band_of
from gradstab.study.space import Value
from gradstab.study.study import Study

if TYPE_CHECKING:
    import pandas as pd

    from gradstab.stability.estimator import Estimator
    from gradstab.stability.phase_diagram import PhaseDiagram
    from gradstab.stability.region import Regions
    from gradstab.stability.region_at import RegionAt


@dataclass(frozen=True)
class TrialRow:
    """One line of the table of trials; the trajectory stays on disk.

    Attributes:
        values: the cells of the table by column.
        judgement: None for a trial whose machine failed.
    """

    number: int
    segment: Path
    point: dict[str, Value]
    values: dict[str, object]
    judgement: Judgement | None
    profile_L: NDArray[np.float32] | None = None  # log10_delta_norm at initialisation


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


class Results:
    """The recorded trials of one study, and what follows from them of the whole space.

    Args:
        folder: the study's results folder.
        criterion: judge under other bands than the study's own; nothing is trained again.
    """

    def __init__(self, folder: StudyFolder, criterion: Criterion | None = None) -> None:
        self.folder = folder
        self.study: Study = folder.study()
        self.criterion = criterion or self.study.criterion
        self.corrupt_segments: list[Path] = []
        self._diagrams: dict[tuple[str, ...], tuple[PhaseDiagram, Regions]] = {}

    @cached_property
    def rows(self) -> list[TrialRow]:
        """Judged trials by number; the first record of a number counts."""
        rows: dict[int, TrialRow] = {}
        for path in segment_paths(self.folder.path):
            try:
                records = read_segment(path)
            except CorruptSegmentError:
                self.corrupt_segments.append(path)
                continue
            for record in records:
                rows.setdefault(record.number, self._row(record, path))
        return [rows[number] for number in sorted(rows)]

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row a trial, indexed by number: axes, init_scale (absolute), gradient_ratio, margin, verdict and more.

        A response may also be named by its letter: `trials["R"]` is `trials["gradient_ratio"]`.
        """
        from gradstab.results.trial_table import trial_table

        return trial_table([{"number": row.number, **row.values} for row in self.rows])

    @property
    def judged_by(self) -> tuple[str, ...]:
        """Letters of the responses that the criterion counts."""
        return self.criterion.responses_for(self.study.least_steps)

    @cached_property
    def measured(self) -> MeasuredTrials:
        """Points and responses of the judged trials: R, T of a trained study, and whatever else the criterion counts.

        A trial that has no value of one of these responses is left out.

        Raises:
            UsageError: no trial was judged yet.
        """
        letters = dict.fromkeys((*default_letters(trained=self.study.least_steps > 0), *self.judged_by))
        values: dict[str, list[float]] = {letter: [] for letter in letters}
        rows = []
        for row in self.rows:
            found = {} if row.judgement is None else {name: row.judgement.responses[name] for name in letters}
            known = {name: value for name, value in found.items() if value is not None}
            if len(known) == len(letters):
                rows.append(row)
                for name, value in known.items():
                    values[name].append(value)
        if not rows:
            raise UsageError(f"the study {self.study.name!r} has no measured trial yet: gradstab run it")
        return MeasuredTrials(
            numbers=tuple(row.number for row in rows),
            points=tuple(row.point for row in rows),
            responses={name: np.array(given) for name, given in values.items()},
            bands=tuple(band_of(letter, self.criterion) for letter in letters),
        )

    @cached_property
    def every_estimator(self) -> Estimator:
        """The estimator of every measured response, whether the criterion counts it or not; `.only("R")` picks."""
        from gradstab.stability.estimator import fit_estimator

        measured = self.measured
        return fit_estimator(self.study.space, measured.points, measured.responses, measured.bands)

    @cached_property
    def estimator(self) -> Estimator:
        """The estimator of the responses that the criterion counts."""
        return self.every_estimator.only(*self.judged_by)

    def phase_diagram(self, *responses: str) -> PhaseDiagram:
        """The probabilities over the whole space, of the criterion's responses or of those named."""
        return self._found(responses or self.judged_by)[0]

    def regions(self, *responses: str) -> Regions:
        """The stability regions under the criterion's responses or under those named."""
        return self._found(responses or self.judged_by)[1]

    def region(self, **at: Value) -> RegionAt:
        """What is known at a point: the safe interval of the axes that `at` does not give, and the nearest cliff.

        Raises:
            UsageError: the point lies outside what was searched.
        """
        from gradstab.stability.region_at import region_at

        return region_at(self.estimator, at, self.measured.points, self.study.dump()["recipe"])

    def _found(self, responses: tuple[str, ...]) -> tuple[PhaseDiagram, Regions]:
        if responses not in self._diagrams:
            from gradstab.stability.phase_diagram import cloud, phase_diagram
            from gradstab.stability.region import find_regions

            estimator = self.every_estimator.only(*responses)
            diagram = phase_diagram(estimator, cloud(estimator.coordinates))
            self._diagrams[responses] = (diagram, find_regions(estimator, diagram))
        return self._diagrams[responses]

    @cached_property
    def _retried(self) -> set[object]:
        """Numbers of failed trials that were tried again under another."""
        return {row.values.get("retry_of") for row in self.rows}

    def verdicts(self) -> Counter[str]:
        """How many trials got each verdict; failed ones under `failed`, unless they were tried again."""
        return Counter(str(row.values["verdict"]) for row in self.rows if row.number not in self._retried)

    def failures(self) -> dict[str, list[int]]:
        """Why machines failed, and the numbers of the trials that were lost to it."""
        numbers: dict[str, list[int]] = {}
        for row in self.rows:
            if row.values["verdict"] == "failed" and row.number not in self._retried:
                numbers.setdefault(str(row.values["failure"]), []).append(row.number)
        return numbers

    def trajectory(self, number: int) -> Trajectory:
        """The complete arrays of a trial.

        Raises:
            UsageError: no such trial is recorded, or its machine failed.
        """
        for row in self.rows:
            if row.number == number:
                for record in read_segment(row.segment):
                    if record.number == number and record.trajectory is not None:
                        return record.trajectory
                raise UsageError(f"trial {number} must have a trajectory, but it failed: {row.values['failure']}")
        raise UsageError(f"trial must be one of the {len(self.rows)} recorded ones, got {number}")

    def stable_intervals(self) -> IntervalTable:
        """The stable intervals of the study's main axis, one row for each combination of choices and band of depths."""
        judged = [(row.point, row.judgement.margin) for row in self.rows if row.judgement is not None]
        return stable_intervals(self.study.space, [point for point, _ in judged], [margin for _, margin in judged])

    def _row(self, record: Record, path: Path) -> TrialRow:
        values: dict[str, object] = {**record.point}
        # a relative scale is resolved; the absolute one is what was drawn
        values["init_scale"] = record.recipe["init_scale"]
        values.update(seed=record.seed, attempts=record.attempts, device=record.device)
        values["seconds"] = (record.finished_ms - record.started_ms) / 1000
        values.update({} if record.retry_of is None else {"retry_of": record.retry_of})
        if record.trajectory is None:
            values.update(verdict="failed", failure=str(record.failure))
            return TrialRow(record.number, path, record.point, values, None)
        judgement = judge(record.trajectory, self.criterion)
        accuracy_P = record.trajectory["accuracy"]
        values.update(
            **{RESPONSES[letter].name: value for letter, value in judgement.responses.items()},
            gradient_rate=judgement.rate,
            margin=judgement.margin,
            phase=judgement.phase,
            outcome=judgement.outcome,
            verdict=judgement.verdict,
            gradient_flag=judgement.flag,
            tail_loss=judgement.tail_loss,
            accuracy=float(accuracy_P[-1]),
        )
        profile_L = record.trajectory["log10_delta_norm"][0].astype(np.float32)
        return TrialRow(record.number, path, record.point, values, judgement, profile_L)


def load_results(study: str | Path, *, criterion: Criterion | None = None, results: str | None = None) -> Results:
    """The results of a study, by its name (in the results root) or by the path of its folder.

    Raises:
        UsageError: there is no such study.
    """
    from gradstab.study.settings import results_setting

    path = Path(study)
    if not (path / "study.json").is_file():
        path = Path(results_setting(results).value or ".") / path.name
    return Results(StudyFolder(path), criterion)
