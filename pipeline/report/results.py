"""A study's results as a person reads them: a DataFrame of trials with verdicts, and any trial's arrays."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.segments import CorruptSegmentError, Record, read_segment, segment_paths
from pipeline.stability.criterion import Criterion, judge
from pipeline.stability.intervals import IntervalInput, StableInterval, stable_intervals
from pipeline.study import Study
from pipeline.study_folder import StudyFolder
from pipeline.trajectory import Trajectory

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Row:
    """One line of the table of trials, judged; the trajectory stays on disk."""

    number: int
    segment: Path
    values: dict[str, object]
    interval_input: IntervalInput | None


class Results:
    """The recorded trials of one study.

    Args:
        folder: the study's results folder.
        criterion: judge under other bands than the study's own; nothing is trained again.
    """

    def __init__(self, folder: StudyFolder, criterion: Criterion | None = None) -> None:
        self.folder = folder
        self.study: Study = folder.study()
        self.criterion = criterion or self.study.criterion
        self.corrupt_segments: list[Path] = []

    @cached_property
    def rows(self) -> list[Row]:
        """Judged trials by number; the first record of a number counts."""
        rows: dict[int, Row] = {}
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
        """One row a trial, indexed by number: axes, init_scale (absolute), R, T, margin, phase, outcome, verdict ..."""
        import pandas as pd

        frame = pd.DataFrame([{"number": row.number, **row.values} for row in self.rows])
        return frame.set_index("number") if len(frame) else frame

    def verdicts(self) -> Counter[str]:
        """How many trials got each verdict; failed ones under `failed`."""
        return Counter(str(row.values["verdict"]) for row in self.rows)

    def failures(self) -> dict[str, list[int]]:
        """Why machines failed, and the numbers of the trials that were lost to it."""
        numbers: dict[str, list[int]] = {}
        for row in self.rows:
            if row.values["verdict"] == "failed":
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

    def stable_intervals(self) -> list[StableInterval]:
        """The stable init-scale interval of each depth band and activation, with its n and theory's beside it."""
        inputs = [row.interval_input for row in self.rows if row.interval_input is not None]
        return stable_intervals(inputs, self.criterion.ratio_band)

    def _row(self, record: Record, path: Path) -> Row:
        values: dict[str, object] = {**record.point}
        # a relative scale is resolved; the absolute one is what was drawn
        values["init_scale"] = record.recipe["init_scale"]
        values.update(seed=record.seed, attempts=record.attempts, device=record.device)
        values["seconds"] = (record.finished_ms - record.started_ms) / 1000
        if record.trajectory is None:
            values.update(verdict="failed", failure=record.failure)
            return Row(record.number, path, values, None)
        judgement = judge(record.trajectory, self.criterion)
        accuracy_P = record.trajectory["accuracy"]
        values.update(
            R=judgement.gradient_ratio,
            T=judgement.training_response,
            rate=judgement.rate,
            margin=judgement.margin,
            phase=judgement.phase,
            outcome=judgement.outcome,
            verdict=judgement.verdict,
            flag=judgement.flag,
            tail_loss=judgement.tail_loss,
            accuracy=float(accuracy_P[-1]),
        )
        recipe = self.study.resolve(record.point)
        point = IntervalInput(
            depth=recipe.depth,
            init_scale=recipe.init_scale,
            activation=recipe.activation,
            bias_scale=recipe.bias_scale,
            margin=judgement.margin,
        )
        return Row(record.number, path, values, point)


def load_results(study: str | Path, *, criterion: Criterion | None = None, results: str | None = None) -> Results:
    """The results of a study, by its name (in the results root) or by the path of its folder.

    Raises:
        UsageError: there is no such study.
    """
    from pipeline.settings import results_setting

    path = Path(study)
    if not (path / "study.json").is_file():
        path = Path(results_setting(results).value or ".") / path.name
    return Results(StudyFolder(path), criterion)
