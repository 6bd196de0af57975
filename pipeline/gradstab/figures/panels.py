"""The planes of a phase diagram with everything that is drawn on them: computed here, drawn by `phase_figure`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradstab.figures.contours import Boundary, boundaries
from gradstab.figures.layout import SCALES, PanelLayout
from gradstab.figures.theory_curves import TheoryCurves, judges_depth
from gradstab.regression.coordinates import Array, Coordinates
from gradstab.stability.estimator import Estimator
from gradstab.stability.phase_diagram import PhaseDiagram, Plane, phase_diagram
from gradstab.study.axes import Value
from gradstab.study.recipe import idle
from gradstab.study.space import Point

_CELLS, _CELLS_OF_MANY = 56, 40
_MANY_TRIALS = 1500


@dataclass(frozen=True)
class Panel:
    """One plane with everything that is drawn on it; curves are in unit coordinates.

    Attributes:
        title: what is held, in words.
        trial_K: indices of the measured trials that belong here.
        theory: curves of the predicted R = -R0 and +R0.
        trainable: curves of depth = 6 xi_c, where T is judged over init scale and depth.
    """

    title: str
    diagram: PhaseDiagram
    boundaries: tuple[Boundary, ...]
    trial_K: NDArray[np.int64]
    theory: tuple[Array, ...]
    trainable: tuple[Array, ...]

    @property
    def cells(self) -> Plane:
        """The lattice on which the probabilities are known."""
        cells = self.diagram.cells
        assert isinstance(cells, Plane)
        return cells


def panels(
    layout: PanelLayout, estimator: Estimator, points: Sequence[Point], predictions: TheoryCurves
) -> list[Panel]:
    """The panels of a layout, row by row of cuts.

    Args:
        estimator: of the responses that are drawn.
        points: those of the measured trials.

    Raises:
        ValueError: the layout spans no plane.
        UsageError: a value that the layout holds lies outside the space.
    """
    if layout.y is None:
        raise ValueError("a panel needs a plane of two axes, got a layout of one")
    most = _CELLS if estimator.num_trials <= _MANY_TRIALS else _CELLS_OF_MANY
    spans_depth = layout.y == "depth" and layout.x in SCALES and judges_depth(estimator)
    found = []
    for held in layout.panel_values():
        cells = panel_plane(estimator.coordinates, layout.x, layout.y, held, most)
        diagram = phase_diagram(estimator, cells)
        found.append(
            Panel(
                title=layout.title(held),
                diagram=diagram,
                boundaries=tuple(boundaries(diagram)),
                trial_K=trials_near(estimator.coordinates, points, layout, held),
                theory=predictions.band_edges(cells),
                trainable=predictions.trainable_depth(cells) if spans_depth else (),
            )
        )
    return found


def trials_near(
    coordinates: Coordinates, points: Sequence[Point], layout: PanelLayout, held: Mapping[str, Value]
) -> NDArray[np.int64]:
    """Indices of the measured trials with a panel's choices, and nearest to its cut."""
    near = []
    for index, point in enumerate(points):
        if any(point[name] != held[name] for choice in layout.choices for name in choice):
            continue
        if (
            layout.cut is None
            or idle(layout.cut[0], held)
            or _nearest_cut(coordinates, layout.cut, point[layout.cut[0]]) == held[layout.cut[0]]
        ):
            near.append(index)
    return np.array(near, dtype=np.int64)


def _nearest_cut(coordinates: Coordinates, cut: tuple[str, tuple[Value, ...]], value: Value) -> Value:
    name, values = cut
    here, *others = (unit_on(coordinates, name, each) for each in (value, *values))
    return values[int(np.argmin([abs(other - here) for other in others]))]


def unit_on(coordinates: Coordinates, name: str, value: Value) -> float:
    """The unit coordinate of a value on one axis."""
    column = coordinates.names.index(name)
    return float(coordinates.with_axis(np.zeros(coordinates.num_axes), {name: value})[column])


def panel_plane(coordinates: Coordinates, x: str, y: str, held: Mapping[str, Value], most: int) -> Plane:
    """The plane of a panel, of at most so many steps along each axis; the steps of an integer are its values."""
    unit_X, unit_Y = (_steps(coordinates, name, most) for name in (x, y))
    unit_MD = np.tile(coordinates.with_axis(np.full(coordinates.num_axes, 0.5), held), (len(unit_X) * len(unit_Y), 1))
    unit_MD[:, coordinates.names.index(x)] = np.tile(unit_X, len(unit_Y))
    unit_MD[:, coordinates.names.index(y)] = np.repeat(unit_Y, len(unit_X))
    return Plane(coordinates, x, y, dict(held), unit_X, unit_Y, unit_MD)


def _steps(coordinates: Coordinates, name: str, most: int) -> Array:
    step_X = np.linspace(0, 1, most)
    if not coordinates.space.axes[name].is_whole:
        return step_X
    unit_XD = np.full((8 * most, coordinates.num_axes), 0.5)
    column = coordinates.names.index(name)
    unit_XD[:, column] = np.linspace(0, 1, 8 * most)
    value_V = np.unique(coordinates.snapped(unit_XD)[:, column])
    if len(value_V) <= most:
        return value_V
    return np.asarray(value_V[np.unique(np.linspace(0, len(value_V) - 1, most).round().astype(int))])
