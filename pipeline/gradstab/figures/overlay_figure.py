"""Two regions on one figure: their boundaries over the space that both studies searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradstab.display.colours import FIRST, SECOND
from gradstab.figures.axis_scales import axis_name, curve_values, numeric_axis, show_axis, value_at
from gradstab.figures.contours import contour, probit
from gradstab.figures.layout import PanelLayout
from gradstab.figures.panels import panel_plane
from gradstab.figures.scaffold import draw_curves, name_panel, panel_grid
from gradstab.regression.coordinates import Coordinates
from gradstab.stability.comparison import within
from gradstab.stability.estimator import Estimator
from gradstab.stability.phase_diagram import LEVELS
from gradstab.study.axes import Value

_CELLS = 72


@dataclass(frozen=True)
class NamedEstimator:
    """One of the two studies."""

    name: str
    estimator: Estimator


@dataclass(frozen=True)
class _Look:
    colour: str
    linestyle: Literal["-", "--"]


_LOOKS = (_Look(FIRST, "-"), _Look(SECOND, "--"))


def overlay_figure(
    shared: Coordinates, studies: Sequence[NamedEstimator], layout: PanelLayout, *, of_modules: bool = False
) -> Figure:
    """The figure, over the axes of the space that both studies share.

    Args:
        of_modules: whether the networks of one of them are modules.
    """
    panels = layout.panel_values()
    grid = panel_grid(len(panels), layout.columns)
    for axes, held in zip(grid.panels, panels, strict=True):
        for study, look in zip(studies, _LOOKS, strict=True):
            if layout.y is None:
                _draw_line(axes, shared, study, layout.x, held, look)
            else:
                _draw_region(axes, shared, study, (layout.x, layout.y), held, look)
        show_axis(axes, "x", numeric_axis(shared, layout.x))
        if layout.y is None:
            axes.set_ylim(0, 1.05)
        else:
            show_axis(axes, "y", numeric_axis(shared, layout.y))
            plane = panel_plane(shared, layout.x, layout.y, held, _CELLS)
            # nothing is drawn beyond the first and the last value of an integer
            axes.set_xlim(*value_at(numeric_axis(shared, layout.x), plane.unit_X[[0, -1]]))
            axes.set_ylim(*value_at(numeric_axis(shared, layout.y), plane.unit_Y[[0, -1]]))
        name_panel(axes, layout.title(held))
    y = "probability" if layout.y is None else axis_name(layout.y, of_modules=of_modules)
    return grid.finish("", axis_name(layout.x, of_modules=of_modules), y, [study.name for study in studies])


def _draw_line(
    axes: Axes, shared: Coordinates, study: NamedEstimator, x: str, held: Mapping[str, Value], look: _Look
) -> None:
    unit_T = np.linspace(0, 1, 4 * _CELLS)
    unit_TD = np.tile(shared.with_axis(np.full(shared.num_axes, 0.5), held), (len(unit_T), 1))
    unit_TD[:, shared.names.index(x)] = unit_T
    believed = study.estimator.probabilities(within(shared, study.estimator.coordinates, unit_TD))
    value_T = value_at(numeric_axis(shared, x), unit_T)
    axes.plot(value_T, believed.p_region, color=look.colour, linestyle=look.linestyle, label=study.name)


def _draw_region(
    axes: Axes,
    shared: Coordinates,
    study: NamedEstimator,
    spanned: tuple[str, str],
    held: Mapping[str, Value],
    look: _Look,
) -> None:
    plane = panel_plane(shared, *spanned, held, _CELLS)
    p_M = study.estimator.probabilities(within(shared, study.estimator.coordinates, plane.unit_MD)).p_region
    z_YX = plane.picture(probit(p_M))
    value_X = value_at(numeric_axis(shared, spanned[0]), plane.unit_X)
    value_Y = value_at(numeric_axis(shared, spanned[1]), plane.unit_Y)
    axes.contourf(value_X, value_Y, z_YX, [0, np.inf], colors=[look.colour], alpha=0.15)
    for level in LEVELS:
        middle = level == LEVELS[1]
        style = {"color": look.colour, "linestyle": look.linestyle, "linewidth": 1.8 if middle else 0.6}
        curves = contour(plane.unit_X, plane.unit_Y, z_YX, float(probit(level)))
        draw_curves(axes, [curve_values(plane, curve) for curve in curves], style, study.name if middle else "")
