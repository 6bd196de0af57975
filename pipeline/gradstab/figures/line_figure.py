"""A space of one numeric axis as a figure: both probabilities along it, and what was measured.

Axes: T steps along the line, N measured trials, K those of one panel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gradstab.display.colours import AREAS, BOUNDARY, SAFE_CORE
from gradstab.figures.axis_scales import NumericAxis, axis_name, numeric_axis, show_axis, value_at
from gradstab.figures.layout import PanelLayout
from gradstab.figures.panels import trials_near, unit_on
from gradstab.figures.scaffold import (
    THEORY,
    TRAINABLE_DEPTH,
    TRAINABLE_DEPTH_LABEL,
    draw_trials,
    name_panel,
    panel_grid,
)
from gradstab.figures.theory_curves import TheoryCurves, judges_depth
from gradstab.regression.coordinates import Array
from gradstab.stability.estimator import Estimator
from gradstab.study.space import Point

_STEPS = 257
_LEAST_OF_A_GRID, _MOST_COLUMNS = 4, 4
_REGION_LABEL, _NEXT_LABEL = "p_region (the median)", "p_next (one new training)"


@dataclass(frozen=True)
class LinePanel:
    """One line through the space.

    Attributes:
        value_T: values of the axis along it.
        p_region_T, p_next_T: what is believed there.
        trial_K: indices of the measured trials on it.
        theory: values at which the predicted R enters or leaves its band.
        trainable: values at which the depth is 6 xi_c, along depth under T.
    """

    title: str
    value_T: Array
    p_region_T: Array
    p_next_T: Array
    trial_K: NDArray[np.int64]
    theory: Array
    trainable: Array


@dataclass(frozen=True)
class LinePicture:
    """Everything on one figure, one panel for each combination of choices.

    Attributes:
        label_N: what each measured trial is, by the names of `marks`.
        points: the measured trials.
        theory: what the legend calls the predicted edges.
        of_modules: whether the networks are modules.
    """

    title: str
    name: str
    axis: NumericAxis
    panels: Sequence[LinePanel]
    label_N: Sequence[str]
    points: Sequence[Point]
    theory: str
    of_modules: bool


def line_panels(
    layout: PanelLayout, estimator: Estimator, points: Sequence[Point], predictions: TheoryCurves
) -> list[LinePanel]:
    """The lines of a layout along its one numeric axis."""
    coordinates = estimator.coordinates
    axis = numeric_axis(coordinates, layout.x)
    column = coordinates.names.index(layout.x)
    unit_T: Array = np.linspace(0, 1, _STEPS)
    value_T = value_at(axis, unit_T)
    found = []
    for held in layout.panel_values():
        unit_TD = np.full((_STEPS, coordinates.num_axes), 0.5)
        for name, value in held.items():
            unit_TD[:, coordinates.names.index(name)] = unit_on(coordinates, name, value)
        unit_TD[:, column] = unit_T
        believed = estimator.probabilities(unit_TD)
        along = coordinates.points(unit_TD)
        trains_T = predictions.trains(along) if judges_depth(estimator) else np.zeros(_STEPS, dtype=bool)
        found.append(
            LinePanel(
                title=layout.title(held),
                value_T=value_T,
                p_region_T=believed.p_region,
                p_next_T=believed.p_next,
                trial_K=trials_near(coordinates, points, layout, held),
                theory=_changes(value_T, predictions.in_band(along)),
                trainable=_changes(value_T, trains_T),
            )
        )
    return found


def _changes(value_T: Array, side_T: NDArray[np.bool_]) -> Array:
    return np.asarray(value_T[1:][side_T[1:] != side_T[:-1]])


def line_figure(picture: LinePicture, ax: Axes | None = None) -> Figure:
    """The figure, in the values of its axis, or the user's axes with the one panel.

    Raises:
        UsageError: several panels do not fit into `ax`.
    """
    count = len(picture.panels)
    columns = 1 if count < _LEAST_OF_A_GRID else min(_MOST_COLUMNS, math.ceil(math.sqrt(count)))
    size = (6.0, 1.9) if columns == 1 else (2.9, 1.6)
    grid = panel_grid(count, columns, ax, panel=size, margin=(1.0, 1.1))
    for axes, panel in zip(grid.panels, picture.panels, strict=True):
        _draw(axes, panel, picture)
    legend = [_REGION_LABEL, _NEXT_LABEL, picture.theory, TRAINABLE_DEPTH_LABEL]
    name = axis_name(picture.name, of_modules=picture.of_modules)
    return grid.finish(picture.title, name, "probability", legend)


def _draw(axes: Axes, panel: LinePanel, picture: LinePicture) -> None:
    axes.fill_between(panel.value_T, 0, panel.p_region_T, color=AREAS["stable"])
    axes.plot(panel.value_T, panel.p_region_T, color=BOUNDARY, label=_REGION_LABEL)
    axes.plot(panel.value_T, panel.p_next_T, color=SAFE_CORE, linestyle=":", label=_NEXT_LABEL)
    for places, style, label in (
        (panel.theory, THEORY, picture.theory),
        (panel.trainable, TRAINABLE_DEPTH, TRAINABLE_DEPTH_LABEL),
    ):
        for index, place in enumerate(places.tolist()):
            axes.axvline(place, **style, label=label if index == 0 else None)
    label_K = np.array([picture.label_N[index] for index in panel.trial_K], dtype=object)
    place_K = np.array([picture.points[index][picture.name] for index in panel.trial_K], dtype=float)
    height_K = np.where(np.isin(label_K.astype(str), ["stable", "in band"]), 1.06, -0.06)
    draw_trials(axes, place_K, height_K, label_K, size=10)
    show_axis(axes, "x", picture.axis)
    axes.set_ylim(-0.12, 1.12)
    axes.set_yticks([0, 0.5, 1])
    name_panel(axes, panel.title, size=9)
