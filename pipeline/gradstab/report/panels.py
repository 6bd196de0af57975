"""Which planes of a space are drawn, and what is on them: computed here, drawn by `phase_figure`.

The two numeric axes that decide most span the plane. Every combination of choices gets panels of its own; a third
numeric axis is cut at three values, and any others are held where the region is largest.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradstab.display.numbers import named
from gradstab.regression.coordinates import Array, Coordinates
from gradstab.report.contours import Boundary, boundaries, contour
from gradstab.results.results import Results
from gradstab.stability.contributions import Contribution
from gradstab.stability.estimator import Estimator
from gradstab.stability.phase_diagram import Cloud, PhaseDiagram, Plane, phase_diagram
from gradstab.study.recipe import conditions
from gradstab.study.space import Choice, Integer, LogInteger, Value
from gradstab.theory.depth_scale_field import log_depth_left
from gradstab.theory.ratio_field import predicted_field
from gradstab.theory.relative_scale import resolved_recipe

SCALES = ("init_scale", "relative_init_scale")
MOST_COMBINATIONS, MOST_LINES = 9, 24
MOST_COLUMNS = 4
CUTS = (1 / 6, 1 / 2, 5 / 6)
_CELLS, _CELLS_OF_MANY = 56, 40
_MANY_TRIALS = 1500
_BINS = 5


@dataclass(frozen=True)
class PanelLayout:
    """How a study's space is cut into planes.

    Attributes:
        x, y: the axes of the planes; y is None where the space has one numeric axis.
        choices: the combinations of choices, one column of panels each.
        cut: the axis that is cut, and its values; None where there is no third.
        held: value of every further axis, where the region is largest.
    """

    x: str
    y: str | None
    choices: tuple[dict[str, Value], ...]
    cut: tuple[str, tuple[Value, ...]] | None
    held: dict[str, Value]

    def rest(self) -> list[dict[str, Value]]:
        """The values held in each panel, row by row of cuts; where the cut axis does nothing, once."""
        cuts: list[dict[str, Value]] = [{}] if self.cut is None else [{self.cut[0]: value} for value in self.cut[1]]
        panels = [{**self.held, **cut, **choice} for cut in cuts for choice in self.choices]
        return [held for held in panels if not self.cut_is_idle(held) or held[self.cut[0]] == self.cut[1][0]]  # type: ignore[index]

    def cut_is_idle(self, held: Mapping[str, Value]) -> bool:
        """Whether the cut axis has no effect at the values held: a clip threshold without clipping."""
        if self.cut is None or self.cut[0] not in conditions():
            return False
        parent, values = conditions()[self.cut[0]]
        return parent in held and held[parent] not in values

    def title(self, held: Mapping[str, Value]) -> str:
        """What is held where it says something, in words."""
        idle = {self.cut[0]} if self.cut is not None and self.cut_is_idle(held) else set()
        return ", ".join(named(*each) for each in held.items() if each[0] not in idle and each[0] not in self.held)

    @property
    def columns(self) -> int:
        """Panels in a row: one for each combination of choices, but four where rows would not be alike."""
        panels = self.rest()
        even = self.cut is not None and len(panels) == len(self.choices) * len(self.cut[1])
        return len(self.choices) if even else min(MOST_COLUMNS, len(panels))


@dataclass(frozen=True)
class Panel:
    """One plane with everything that is drawn on it, in unit coordinates.

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
    def plane(self) -> Plane:
        cells = self.diagram.cells
        assert isinstance(cells, Plane)
        return cells


def layout_of(diagram: PhaseDiagram, found: Sequence[Contribution]) -> PanelLayout | None:
    """How the space of a cloud's diagram is cut, by what each axis contributes; None where no axis is numeric."""
    axes = diagram.cells.coordinates.space.axes
    share = {each.axis: each.of_region for each in found}
    numeric = sorted((n for n, axis in axes.items() if not isinstance(axis, Choice)), key=lambda name: -share[name])
    if not numeric:
        return None
    spanned, others = numeric[:2], numeric[2:]
    # what theory speaks of is read along x, against depth
    spanned.sort(key=lambda name: (name not in SCALES, name == "depth"))
    best = _where_largest(diagram, others[1:])
    cut = None
    if others:
        cut = others[0], tuple(dict.fromkeys(axes[others[0]].from_unit(unit) for unit in CUTS))
    kept, fixed = _choices(axes, share, diagram, MOST_COMBINATIONS if len(spanned) > 1 else MOST_LINES)
    return PanelLayout(spanned[0], spanned[1] if len(spanned) > 1 else None, kept, cut, {**best, **fixed})


def _where_largest(diagram: PhaseDiagram, names: Sequence[str]) -> dict[str, Value]:
    """For each numeric axis the middle of that fifth of it in which most of the region lies."""
    cells = diagram.cells
    assert isinstance(cells, Cloud)
    best: dict[str, Value] = {}
    for name in names:
        bin_M = np.minimum((cells.unit_MD[:, cells.coordinates.names.index(name)] * _BINS).astype(int), _BINS - 1)
        volume = np.bincount(bin_M, weights=diagram.p_region, minlength=_BINS)
        best[name] = cells.coordinates.axis_value(name, (int(volume.argmax()) + 0.5) / _BINS)
    return best


def _choices(
    axes: Mapping[str, object], share: Mapping[str, float], diagram: PhaseDiagram, most: int
) -> tuple[tuple[dict[str, Value], ...], dict[str, Value]]:
    """Combinations of the choices that decide most, as many as can be shown, and the value of the others."""
    options = {name: axis.choices for name, axis in axes.items() if isinstance(axis, Choice)}
    shown: list[str] = []
    for name in sorted(options, key=lambda name: -share[name]):
        if np.prod([len(options[other]) for other in (*shown, name)]) <= most:
            shown.append(name)
    cells = diagram.cells
    assert isinstance(cells, Cloud)
    fixed: dict[str, Value] = {}
    for name in options.keys() - set(shown):
        index_M = np.floor(cells.unit_MD[:, cells.coordinates.names.index(name)] * len(options[name])).astype(int)
        fixed[name] = options[name][int(np.bincount(index_M, weights=diagram.p_region).argmax())]
    in_order = [name for name in options if name in shown]
    combinations = itertools.product(*(options[name] for name in in_order))
    return tuple(dict(zip(in_order, values, strict=True)) for values in combinations), fixed


def panels(results: Results, layout: PanelLayout, estimator: Estimator) -> list[Panel]:
    """The panels of a layout under some responses, row by row of cuts.

    Raises:
        ValueError: the layout spans no plane.
    """
    if layout.y is None:
        raise ValueError("a panel needs a plane of two axes, got a layout of one")
    most = _CELLS if estimator.num_trials <= _MANY_TRIALS else _CELLS_OF_MANY
    spans_depth = layout.y == "depth" and layout.x in SCALES and judges_depth(estimator)
    found = []
    for held in layout.rest():
        cells = panel_plane(estimator.coordinates, layout.x, layout.y, held, most)
        diagram = phase_diagram(estimator, cells)
        found.append(
            Panel(
                title=layout.title(held),
                diagram=diagram,
                boundaries=tuple(boundaries(diagram)),
                trial_K=trials_near(results, layout, held),
                theory=_theory(results, cells),
                trainable=_trainable(results, cells) if spans_depth else (),
            )
        )
    return found


def trials_near(results: Results, layout: PanelLayout, held: Mapping[str, Value]) -> NDArray[np.int64]:
    """Indices of the measured trials with a panel's choices, and nearest to its cut."""
    near = []
    for index, point in enumerate(results.measured.points):
        if any(point[name] != held[name] for choice in layout.choices for name in choice):
            continue
        if (
            layout.cut is None
            or layout.cut_is_idle(held)
            or _nearest_cut(results, layout.cut, point[layout.cut[0]]) == held[layout.cut[0]]
        ):
            near.append(index)
    return np.array(near, dtype=np.int64)


def _nearest_cut(results: Results, cut: tuple[str, tuple[Value, ...]], value: Value) -> Value:
    name, values = cut
    coordinates = results.every_estimator.coordinates
    here, *others = (unit_on(coordinates, name, each) for each in (value, *values))
    return values[int(np.argmin([abs(other - here) for other in others]))]


def unit_on(coordinates: Coordinates, name: str, value: Value) -> float:
    """The unit coordinate of a value on one axis."""
    column = coordinates.names.index(name)
    return float(coordinates.with_axis(np.zeros(coordinates.num_axes), {name: value})[column])


def panel_plane(coordinates: Coordinates, x: str, y: str, held: Mapping[str, Value], most: int) -> Plane:
    """The plane of a panel, of at most so many steps along each axis; integers are looked at where they lie."""
    unit_X, unit_Y = (_steps(coordinates, name, most) for name in (x, y))
    unit_MD = np.tile(coordinates.with_axis(np.full(coordinates.num_axes, 0.5), held), (len(unit_X) * len(unit_Y), 1))
    unit_MD[:, coordinates.names.index(x)] = np.tile(unit_X, len(unit_Y))
    unit_MD[:, coordinates.names.index(y)] = np.repeat(unit_Y, len(unit_X))
    return Plane(coordinates, x, y, dict(held), unit_X, unit_Y, unit_MD)


def _steps(coordinates: Coordinates, name: str, most: int) -> Array:
    step_X = np.linspace(0, 1, most)
    if not isinstance(coordinates.space.axes[name], Integer | LogInteger):
        return step_X
    unit_XD = np.full((8 * most, coordinates.num_axes), 0.5)
    column = coordinates.names.index(name)
    unit_XD[:, column] = np.linspace(0, 1, 8 * most)
    value_V = np.unique(coordinates.snapped(unit_XD)[:, column])
    if len(value_V) <= most:
        return value_V
    return np.asarray(value_V[np.unique(np.linspace(0, len(value_V) - 1, most).round().astype(int))])


def _theory(results: Results, cells: Plane) -> tuple[Array, ...]:
    """Curves of the predicted R = -R0 and +R0."""
    recipes = [resolved_recipe(results.study, point) for point in cells.coordinates.points(cells.unit_MD)]
    ratio_YX = cells.picture(predicted_field(recipes))
    band = results.criterion.ratio_band
    return tuple(curve for edge in (-band, band) for curve in contour(cells.unit_X, cells.unit_Y, ratio_YX, edge))


def _trainable(results: Results, cells: Plane) -> tuple[Array, ...]:
    """Curves of the predicted trainable depth."""
    recipes = [resolved_recipe(results.study, point) for point in cells.coordinates.points(cells.unit_MD)]
    return contour(cells.unit_X, cells.unit_Y, cells.picture(log_depth_left(recipes)), 0.0)


def judges_depth(estimator: Estimator) -> bool:
    """Whether T is judged over init scale and depth, so that theory has a trainable depth to draw."""
    axes = estimator.coordinates.space.axes
    deep = isinstance(axes.get("depth"), Integer | LogInteger)
    return deep and any(name in axes for name in SCALES) and "T" in [band.name for band in estimator.bands]
