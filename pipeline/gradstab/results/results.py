"""The results of a study for the user: a table of trials with verdicts, regions, figures, and any trial's arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gradstab.display.verdicts import verdict_text
from gradstab.errors import UsageError
from gradstab.record.segments import Record, read_segment
from gradstab.record.study_folder import StudyFolder
from gradstab.record.trajectory import Trajectory
from gradstab.results.trial_rows import (
    FAILED,
    MeasuredTrials,
    TrialRow,
    measured_trials,
    read_rows,
    side_of,
    trials_with,
)
from gradstab.stability.intervals import IntervalTable, stable_intervals
from gradstab.study.axes import Value
from gradstab.study.criterion import Criterion
from gradstab.study.responses.registry import default_letters
from gradstab.study.study import Study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import nn

    from gradstab.figures.layout import PanelLayout
    from gradstab.figures.theory_curves import TheoryCurves
    from gradstab.results.recommending.recommendation import Recommendation
    from gradstab.stability.contributions import Contribution
    from gradstab.stability.estimator import Estimator
    from gradstab.stability.phase_diagram import Cloud, PhaseDiagram
    from gradstab.stability.region import Regions
    from gradstab.stability.region_at import RegionAt


class Results:
    """The recorded trials of one study, and what they say about the whole space.

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

    def __len__(self) -> int:
        return len(self.rows)

    def __bool__(self) -> bool:
        return True  # results without a trial are still results

    def __repr__(self) -> str:
        counts = "".join(f", {count} {verdict_text(verdict)}" for verdict, count in self.verdicts().most_common())
        return f"<Results of {self.study.name}: {len(self)} trials{counts.replace(',', ':', 1)}>"

    def _repr_html_(self) -> str:
        from gradstab.results.notebook import results_html

        return results_html(self)

    def module(self, number: int) -> nn.Module:
        """The network with which a trial began, a `torch.nn.Module` with the same weights bit for bit.

        Raises:
            UsageError: the study has no such trial, or its code cannot be imported here.
        """
        from gradstab.results.initial import initial_module

        return initial_module(self, number)

    @cached_property
    def rows(self) -> list[TrialRow]:
        """Judged trials by number; the first record of a number counts."""
        rows, corrupt = read_rows(self.folder.path, self.criterion)
        self.corrupt_segments += corrupt
        return rows

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row a trial, indexed by number: axes, init_scale (absolute), gradient_ratio, margin, verdict and more.

        A response may also be named by its letter: `trials["R"]` is `trials["gradient_ratio"]`.
        """
        from gradstab.results.trial_table import trial_table

        return trial_table([{"number": row.number, **row.columns()} for row in self.rows])

    @property
    def constants(self) -> dict[str, Value | None]:
        """The settings that every trial shares: the fields of the recipe that are no axis."""
        return dict(self.study.dump()["recipe"])

    @property
    def judged_by(self) -> tuple[str, ...]:
        """Letters of the responses that the criterion counts."""
        return self.criterion.responses_for(self.study.least_steps)

    @cached_property
    def measured(self) -> MeasuredTrials:
        """Points and responses of the judged trials: R, T where it is known, and whatever else the criterion counts.

        A trial that has no value of one of these responses is left out.

        Raises:
            UsageError: no trial was judged yet.
        """
        shown = default_letters(trained=self.study.least_steps > 0)
        found = trials_with(shown, self.judged_by, self.rows, self.criterion)
        if found is None:
            raise UsageError(f"the study {self.study.name!r} has no measured trial yet: gradstab run it")
        return found

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
        return self._diagram_and_regions(responses or self.judged_by)[0]

    def regions(self, *responses: str) -> Regions:
        """The stability regions under the criterion's responses or under those named."""
        return self._diagram_and_regions(responses or self.judged_by)[1]

    def region(self, **at: Value) -> RegionAt:
        """What is known at a point: the safe interval of the axes that `at` does not give, and the nearest cliff.

        `print` of it reads as `gradstab region` does.

        Raises:
            UsageError: the point lies outside what was searched.
        """
        from gradstab.results.region_words import region_text
        from gradstab.stability.region_at import region_at

        found = region_at(self.estimator, at, self.measured.points, self.constants)
        return replace(found, text=region_text(self, found))

    def recommend(self, largest: str | None = None, **at: Value) -> Recommendation:
        """What to set: the largest safe value of an axis (by default the learning rate), a clip threshold and more.

        `print` of it reads as `gradstab recommend` does. `at` gives values of other axes.

        Raises:
            UsageError: no such axis, a value that was not searched, or no measured trial.
        """
        from gradstab.results.recommending.recommend import recommend

        return recommend(self, largest, at)

    def answer(self) -> list[str]:
        """The answer in plain sentences: what safe means, then one for each choice. A fresh report is not made again.

        Raises:
            UsageError: no trial was measured yet.
        """
        from gradstab.results.answer import answer_lines
        from gradstab.results.known_answer import known_answer

        return known_answer(self) or answer_lines(self)

    @cached_property
    def contributions(self) -> tuple[Contribution, ...]:
        """How much each axis decides, under the criterion's responses."""
        from gradstab.stability.contributions import contributions

        return tuple(contributions(self.estimator))

    @cached_property
    def layout(self) -> PanelLayout | None:
        """How figures and tables cut the space; None where no axis is numeric."""
        from gradstab.figures.layout import panel_layout

        return panel_layout(self.phase_diagram(), self.contributions)

    def plot_phase_diagram(
        self, *responses: str, ax: Axes | None = None, at: Mapping[str, Value] | None = None
    ) -> Figure:
        """The phase diagram as a figure in the units of its axes: probabilities, boundaries, theory and trials.

        Args:
            responses: by default those of the criterion.
            ax: draw one panel into these axes instead of a new figure; `ax.legend()` explains it.
            at: values to hold, such as `{"activation": "tanh"}`: only the panels that agree are drawn.

        Raises:
            UsageError: no axis is numeric, no trial was measured yet, `at` holds an axis that spans the figure, or
                several panels are left for one `ax`.
        """
        from gradstab.results.plots import phase_diagram_figure

        return phase_diagram_figure(self, responses or self.judged_by, at or {}, ax)

    def plot_depth_profile(self, *, ax: Axes | None = None, at: Mapping[str, Value] | None = None) -> Figure:
        """Gradients by depth at initialisation, by verdict, one panel for each activation.

        Args:
            ax: draw one panel into these axes instead of a new figure; `ax.legend()` explains it.
            at: values such as `{"activation": "tanh"}`: only trials at these values count.

        Raises:
            UsageError: no measured trial at `at` has two hidden layers, or several panels are left for one `ax`.
        """
        from gradstab.results.plots import depth_profile_figure

        return depth_profile_figure(self, at or {}, ax)

    def plot_trajectory(self, number: int, *statistics: str, ax: Axes | None = None) -> Figure:
        """One training over its steps: the loss, and layer by step what the probes read.

        Args:
            number: the trial.
            statistics: by default the loss, the gradient norm, the activation scale and the saturated or dead units.
            ax: draw one statistic into these axes instead of a new figure.

        Raises:
            UsageError: no such trial or statistic, its machine failed, or `ax` without exactly one statistic.
        """
        from gradstab.results.plots import trial_figure

        return trial_figure(self, number, statistics, ax)

    def labels(self, *responses: str) -> list[str]:
        """What each measured trial is: its verdict under several responses, its side of the band under one."""
        if len(responses) > 1:
            verdicts = {row.number: row.verdict for row in self.rows}
            return [verdicts[number] for number in self.measured.numbers]
        band = next(band for band in self.measured.bands if band.name == responses[0])
        return [side_of(band, value) for value in self.measured.responses[band.name].tolist()]

    @cached_property
    def _retried(self) -> set[int | None]:
        """Numbers of failed trials that were tried again under another number."""
        return {row.retry_of for row in self.rows}

    def verdicts(self) -> Counter[str]:
        """How many trials got each verdict; failed ones under `failed`, unless they were tried again."""
        return Counter(row.verdict for row in self.rows if row.number not in self._retried)

    def failures(self) -> dict[str, list[int]]:
        """Why machines failed, and the numbers of the trials that were lost by it."""
        numbers: dict[str, list[int]] = {}
        for row in self.rows:
            if row.verdict == FAILED and row.number not in self._retried:
                numbers.setdefault(str(row.failure), []).append(row.number)
        return numbers

    def trajectory(self, number: int) -> Trajectory:
        """The complete arrays of a trial.

        Raises:
            UsageError: no such trial is recorded, or its machine failed.
        """
        record = self.record(number)
        if record.trajectory is None:
            raise UsageError(f"trial {number} has no trajectory, because its machine failed: {record.failure}")
        return record.trajectory

    def record(self, number: int) -> Record:
        """All that is on record of a trial, such as its recipe and seed; a UsageError where it is not recorded."""
        row = next((row for row in self.rows if row.number == number), None)
        if row is None:
            raise UsageError(f"trial must be one of the {len(self.rows)} recorded ones, got {number}")
        return next(record for record in read_segment(row.segment) if record.number == number)

    def stable_intervals(self) -> IntervalTable:
        """The stable intervals of the study's main axis, one row for each combination of choices and band of depths."""
        judged = [(row.point, trial.judgement.margin) for row, trial in measured_trials(self.rows)]
        return stable_intervals(self.study.space, [point for point, _ in judged], [margin for _, margin in judged])

    @cached_property
    def predictions(self) -> TheoryCurves:
        """What mean-field theory predicts; each plane is computed once for all figures."""
        from gradstab.figures.theory_curves import TheoryCurves

        return TheoryCurves(self.study, self.criterion.ratio_band)

    @cached_property
    def _cloud(self) -> Cloud:
        from gradstab.stability.phase_diagram import cloud

        return cloud(self.every_estimator.coordinates)

    def _diagram_and_regions(self, responses: tuple[str, ...]) -> tuple[PhaseDiagram, Regions]:
        if responses not in self._diagrams:
            from gradstab.stability.phase_diagram import phase_diagram
            from gradstab.stability.region import find_regions

            estimator = self.every_estimator.only(*responses)
            diagram = phase_diagram(estimator, self._cloud)
            self._diagrams[responses] = (diagram, find_regions(estimator, diagram))
        return self._diagrams[responses]
