"""Boundary curves in a plane: where a field over a lattice passes a level (marching squares, Lorensen & Cline 1987).

Axes: X, Y steps of the lattice, K points of a curve.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from gradstab.regression.coordinates import Array
from gradstab.stability.phase_diagram import LEVELS, PhaseDiagram, Plane
from gradstab.stability.region import SAFE

_CERTAIN = 1e-12

_Edge = tuple[int, int, int]  # row and column of a lattice point, and 0 for the edge along x from it, 1 along y


@dataclass(frozen=True)
class Boundary:
    """The curves on which one probability has one value.

    Attributes:
        kind: "region", the boundary of the median's region; a side of it ("vanishing", "exploding", "untrained");
            or "safe core", the one boundary that speaks of one new training.
        level: the value.
        curves: unit coordinates (x, y) of the points of each curve, shape (K, 2); first and last agree where it closes.
    """

    kind: str
    level: float
    curves: tuple[Array, ...]


def boundaries(diagram: PhaseDiagram) -> list[Boundary]:
    """Boundaries of a diagram of a plane: of the region, of each side, and of the safe core."""
    cells = diagram.cells
    assert isinstance(cells, Plane)
    fields = {"region": diagram.p_region, **diagram.probabilities.sides}
    wanted = [(kind, field_M, level) for kind, field_M in fields.items() for level in LEVELS]
    return [
        Boundary(kind, level, contour(cells.unit_X, cells.unit_Y, cells.picture(probit(field_M)), float(ndtri(level))))
        for kind, field_M, level in [*wanted, ("safe core", diagram.p_next, SAFE)]
    ]


def probit(p_M: ArrayLike) -> Array:
    """Probabilities in standard deviations, in which they are nearly linear between cells."""
    return np.asarray(ndtri(np.clip(np.asarray(p_M, dtype=np.float64), _CERTAIN, 1 - _CERTAIN)))


def contour(x_X: Array, y_Y: Array, field_YX: Array, level: float) -> tuple[Array, ...]:
    """Curves on which a field, linear along lattice edges, passes a level."""
    links: dict[_Edge, list[_Edge]] = {}
    for first, second in _segments(field_YX >= level):
        links.setdefault(first, []).append(second)
        links.setdefault(second, []).append(first)
    curves = []
    # open curves start where only one segment ends; what is then left are closed ones
    for start in sorted(links, key=lambda edge: len(links[edge])):
        if links[start]:
            curves.append(np.array([_crossing(x_X, y_Y, field_YX, level, edge) for edge in _walk(links, start)]))
    return tuple(curves)


def _segments(inside_YX: NDArray[np.bool_]) -> Iterator[tuple[_Edge, _Edge]]:
    """Pieces of the boundary within each cell of the lattice, from edge to edge."""
    corners_YX = inside_YX.astype(np.int64)
    count_YX = corners_YX[:-1, :-1] + corners_YX[:-1, 1:] + corners_YX[1:, :-1] + corners_YX[1:, 1:]
    for y, x in np.argwhere((count_YX > 0) & (count_YX < 4)).tolist():
        around = [inside_YX[y, x], inside_YX[y, x + 1], inside_YX[y + 1, x + 1], inside_YX[y + 1, x]]
        sides: list[_Edge] = [(y, x, 0), (y, x + 1, 1), (y + 1, x, 0), (y, x, 1)]
        crossed = [side for index, side in enumerate(sides) if around[index] != around[(index + 1) % 4]]
        if len(crossed) == 2:
            yield crossed[0], crossed[1]
        else:  # a saddle: the corners inside are kept apart, whichever they are
            first = 0 if around[0] else 1
            yield sides[first - 1], sides[first]
            yield sides[first + 1], sides[(first + 2) % 4]


def _walk(links: dict[_Edge, list[_Edge]], start: _Edge) -> list[_Edge]:
    """The edges along one curve; its links are used up."""
    path = [start]
    while links[path[-1]]:
        following = links[path[-1]].pop()
        links[following].remove(path[-1])
        path.append(following)
    return path


def _crossing(x_X: Array, y_Y: Array, field_YX: Array, level: float, edge: _Edge) -> tuple[float, float]:
    y, x, along_y = edge
    end_y, end_x = y + along_y, x + 1 - along_y
    start_value, end_value = float(field_YX[y, x]), float(field_YX[end_y, end_x])
    share = (level - start_value) / (end_value - start_value)
    return (
        float(x_X[x] + share * (x_X[end_x] - x_X[x])),
        float(y_Y[y] + share * (y_Y[end_y] - y_Y[y])),
    )
