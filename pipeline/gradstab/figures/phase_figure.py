"""The phase diagram as a figure: probabilities as colours, with trials, boundaries and theory on them. Draws only.

Axes: N measured trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gradstab.display.colours import areas, marks
from gradstab.display.verdicts import verdict_text
from gradstab.figures.axis_scales import axis_name, curve_values, numeric_axis, show_axis, value_at
from gradstab.figures.panels import Panel
from gradstab.figures.scaffold import (
    BOUNDARY,
    BOUNDARY_LIMIT,
    SAFE_CORE,
    THEORY,
    TRAINABLE_DEPTH,
    TRAINABLE_DEPTH_LABEL,
    Shape,
    draw_curves,
    draw_trials,
    name_panel,
    panel_grid,
)
from gradstab.regression.coordinates import Array
from gradstab.stability.phase_diagram import LEVELS, Plane
from gradstab.study.space import Point

_WIDEST = 1 / 24  # distance in unit coordinates of the vertices that colours are interpolated between
_PANEL, _WIDE_PANEL = (3.5, 3.05), (9.6, 3.05)  # inches
_BOUNDARY_LABEL, _LIMIT_LABEL = "boundary (median over seeds)", "its 5 % and 95 %"
_SAFE_LABEL = "safe core (p_next > .95)"


@dataclass(frozen=True)
class PhasePicture:
    """Everything on one figure.

    Attributes:
        panels: row by row.
        columns: panels in a row.
        label_N: what each measured trial is, by the names of `marks`.
        points: the measured trials.
        theory: what the legend calls the predicted edges.
        of_modules: whether the networks are modules.
    """

    title: str
    panels: Sequence[Panel]
    columns: int
    label_N: Sequence[str]
    points: Sequence[Point]
    theory: str
    of_modules: bool


def phase_figure(picture: PhasePicture, ax: Axes | None = None, shape: Shape = "page") -> Figure:
    """The figure, in the values of its axes, or the user's axes with the one panel.

    Raises:
        UsageError: several panels do not fit into `ax`.
    """
    size = _WIDE_PANEL if shape == "wide" and len(picture.panels) == 1 else _PANEL
    grid = panel_grid(len(picture.panels), 1 if shape == "narrow" else picture.columns, ax, panel=size)
    for axes, panel in zip(grid.panels, picture.panels, strict=True):
        _draw(axes, panel, picture)
    cells = picture.panels[0].cells
    legend = [
        *map(verdict_text, marks()),
        *(f"mostly {area}" for area in areas()),
        *(_BOUNDARY_LABEL, _LIMIT_LABEL, _SAFE_LABEL, picture.theory, TRAINABLE_DEPTH_LABEL),
    ]
    x, y = (axis_name(name, of_modules=picture.of_modules) for name in (cells.x, cells.y))
    return grid.finish(picture.title, x, y, legend)


def _draw(axes: Axes, panel: Panel, picture: PhasePicture) -> None:
    cells = panel.cells
    unit_X, unit_Y = _vertices(cells.unit_X), _vertices(cells.unit_Y)
    value_X = value_at(numeric_axis(cells.coordinates, cells.x), unit_X)
    value_Y = value_at(numeric_axis(cells.coordinates, cells.y), unit_Y)
    colour_YX3 = _area_colours(panel, unit_X, unit_Y)
    axes.pcolormesh(value_X, value_Y, colour_YX3, shading="gouraud", zorder=0, rasterized=True)
    for name in _drawn_areas(panel):
        named = PolyCollection([], color=areas()[name], label=f"mostly {name}")  # for the legend alone
        axes.add_collection(named, autolim=False)
    styles = {
        **{("region", level): (BOUNDARY_LIMIT, _LIMIT_LABEL) for level in LEVELS},
        ("region", LEVELS[1]): (BOUNDARY, _BOUNDARY_LABEL),
    }
    for boundary in panel.boundaries:
        safe = (SAFE_CORE, _SAFE_LABEL) if boundary.kind == "safe core" else None
        look = styles.get((boundary.kind, boundary.level), safe)
        if look is not None:
            draw_curves(axes, _values(panel, boundary.curves), *look)
    draw_curves(axes, _values(panel, panel.theory), THEORY, picture.theory, halo=True)
    draw_curves(axes, _values(panel, panel.trainable), TRAINABLE_DEPTH, TRAINABLE_DEPTH_LABEL, halo=True)
    here = [picture.points[index] for index in panel.trial_K]
    place_K2 = np.array([(point[cells.x], point[cells.y]) for point in here], dtype=float).reshape(-1, 2)
    label_K = np.array([picture.label_N[index] for index in panel.trial_K], dtype=object)
    size = 13 if len(here) < 600 else 6 if len(here) < 2500 else 2.5
    draw_trials(axes, place_K2[:, 0], place_K2[:, 1], label_K, size)
    show_axis(axes, "x", numeric_axis(cells.coordinates, cells.x))
    show_axis(axes, "y", numeric_axis(cells.coordinates, cells.y))
    name_panel(axes, panel.title)


def _values(panel: Panel, curves: Sequence[Array]) -> list[Array]:
    return [curve_values(panel.cells, curve) for curve in curves]


def _drawn_areas(panel: Panel) -> list[str]:
    """The areas that a legend must explain."""
    found = panel.diagram.probabilities
    diverges = bool((found.p_diverged > 0.5).any())
    return [name for name in areas() if name in {"stable", *found.sides} or (name == "diverged" and diverges)]


def _vertices(lattice_X: Array) -> Array:
    """The lines of a lattice, the ends of the axis, and lines between those that are far apart.

    Probabilities are linear between the lattice's lines, so that colours need few vertices beside them.
    """
    known_X = np.unique([0.0, *lattice_X, 1.0])
    parts_X = np.ceil(np.diff(known_X) / _WIDEST).astype(int)
    between = zip(known_X[:-1], known_X[1:], parts_X, strict=True)
    return np.append(np.concatenate([np.linspace(*each, endpoint=False) for each in between]), 1.0)


def _area_colours(panel: Panel, unit_X: Array, unit_Y: Array) -> NDArray[np.float64]:
    """The colours of the areas mixed by their probabilities, at vertices fine enough for colours without stripes."""
    cells, found = panel.cells, panel.diagram.probabilities
    diverged = np.minimum(found.p_diverged, 1 - found.p_region)
    shares = {"stable": found.p_region, "diverged": diverged}
    rest = np.maximum(0, 1 - found.p_region - diverged)
    for name, side in found.sides.items():  # as a verdict is given: by the gradients first
        shares[name] = np.minimum(rest, side)
        rest = rest - shares[name]
    mixed = np.zeros((len(unit_Y), len(unit_X), 3))
    weight = np.full((len(unit_Y), len(unit_X), 1), 1e-12)
    for name, share in shares.items():
        fine = _at_vertices(cells, cells.picture(share), unit_X, unit_Y)[:, :, None]
        mixed += fine * np.array(to_rgb(areas()[name]))
        weight += fine
    return np.asarray(np.clip(mixed / weight, 0, 1))


def _at_vertices(cells: Plane, field_YX: Array, unit_X: Array, unit_Y: Array) -> Array:
    """A field on lattice lines, linear between them, at vertices over the whole axes."""
    along_x = np.stack([np.interp(unit_X, cells.unit_X, row) for row in field_YX])
    return np.stack([np.interp(unit_Y, cells.unit_Y, column) for column in along_x.T], axis=1)
