"""The figures of a study's results: what is drawn is gathered here and handed to the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gradstab.display.criterion import where_text
from gradstab.display.numbers import counted, point_text
from gradstab.display.verdicts import verdict_text
from gradstab.errors import UsageError
from gradstab.figures.axis_scales import numeric_axis
from gradstab.figures.line_figure import LinePicture, line_figure, line_panels
from gradstab.figures.panels import panels
from gradstab.figures.phase_figure import PhasePicture, phase_figure
from gradstab.figures.profile_figure import TrialProfile, profile_figure, profiles
from gradstab.figures.scaffold import Shape
from gradstab.figures.trajectory_figure import trajectory_figure
from gradstab.results.trial_rows import measured_trials
from gradstab.study.axes import Value
from gradstab.study.space import Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gradstab.results.results import Results


def phase_diagram_figure(
    results: Results,
    responses: Sequence[str],
    at: Mapping[str, Value],
    ax: Axes | None = None,
    shape: Shape = "page",
) -> Figure:
    """The phase diagram under some responses: planes of two numeric axes, or lines along the only one."""
    known = list(results.measured.responses)
    unknown = [str(name) for name in responses if name not in known]
    if unknown:
        raise UsageError(f"responses must be among the measured ones, {', '.join(known)}, got {', '.join(unknown)}")
    if results.layout is None:
        raise UsageError(f"a phase diagram needs a numeric axis, but {results.study.name} has choices only")
    layout = results.layout.at(at)
    estimator = results.every_estimator.only(*responses)
    points, label_N = results.measured.points, results.labels(*responses)
    predictions = results.predictions
    judged = " and ".join(responses) if len(responses) > 1 else f"{responses[0]} alone"
    title = f"{results.study.name}: where {where_text(responses)} ({judged}, {counted(len(points), 'trial')})"
    of_modules = results.study.model is not None
    if layout.y is None:
        axis = numeric_axis(estimator.coordinates, layout.x)
        lines = line_panels(layout, estimator, points, predictions)
        line = LinePicture(title, layout.x, axis, lines, label_N, points, predictions.label, of_modules)
        return line_figure(line, ax)
    drawn = panels(layout, estimator, points, predictions)
    plane = PhasePicture(title, drawn, layout.columns, label_N, points, predictions.label, of_modules)
    return phase_figure(plane, ax, shape)


def depth_profile_figure(
    results: Results, at: Mapping[str, Value], ax: Axes | None = None, shape: Shape = "page"
) -> Figure:
    """The depth profile of the trials at some values."""
    unknown = [name for name in at if name not in results.study.space.names()]
    if unknown:
        raise UsageError(f"at must name axes of the study, got {', '.join(unknown)}")
    choices = results.study.space.choices()
    group = "activation" if "activation" in choices else next(iter(choices), "")
    drawn = [
        (row, trial)
        for row, trial in measured_trials(results.rows)
        if all(row.point[name] == value for name, value in at.items())
    ]
    found = profiles(
        TrialProfile(_group_text(group, row.point), trial.judgement.verdict, trial.log10_delta_norm_L)
        for row, trial in drawn
    )
    if not found:
        where = f" at {point_text(at)}" if at else ""
        raise UsageError(f"a depth profile needs a measured trial of two hidden layers, got none{where}")
    names = {trial.taps for _, trial in drawn}
    taps = max(names, key=len)
    place = (
        "hidden layer" if results.study.model is None else "tap" if len(names) == 1 else "tap of the deepest network"
    )
    title = f"{results.study.name}: how gradients change over the {'taps' if taps else 'layers'}, by verdict"
    return profile_figure(found, results.criterion.ratio_band, title, ax, place, taps, shape)


def _group_text(name: str, point: Point) -> str:
    """The panel of a trial: its activation alone, or another choice with its name; one panel without choices."""
    if name not in point:
        return ""
    return str(point[name]) if name == "activation" else point_text({name: point[name]})


def trial_figure(results: Results, number: int, statistics: Sequence[str], ax: Axes | None = None) -> Figure:
    """What one trial did over its steps."""
    trajectory = results.trajectory(number)
    row = next(row for row in results.rows if row.number == number)
    scale = {} if row.init_scale is None or "init_scale" in row.point else {"init_scale": row.init_scale}
    title = f"trial {number}, {verdict_text(row.verdict)}: {point_text({**row.point, **scale})}"
    return trajectory_figure(trajectory, statistics, title, ax)
