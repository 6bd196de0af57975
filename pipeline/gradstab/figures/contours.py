"""Boundary curves in a plane: where a field over a lattice passes a level.

Axes: X, Y steps of the lattice, K points of a curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import contourpy
import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from gradstab.regression.coordinates import Array
from gradstab.stability.phase_diagram import LEVELS, PhaseDiagram, Plane
from gradstab.stability.region import SAFE

_CERTAIN = 1e-12


@dataclass(frozen=True)
class Boundary:
    """The curves on which one probability has one value.

    Attributes:
        kind: "region", the boundary of the median's region; a side of it ("vanishing", "exploding", "untrained");
            or "safe core", the only boundary that is about one new training.
        level: the value.
        curves: unit coordinates (x, y) of the points of each curve, shape (K, 2); a closed curve ends where it began.
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
    """Curves on which a field passes a level, by linear interpolation along lattice edges; none around NaN."""
    lattice = contourpy.contour_generator(
        x_X,
        y_Y,
        np.ma.masked_invalid(field_YX),
        name="serial",
        corner_mask=False,
        line_type=contourpy.LineType.Separate,
    )
    curves = (np.asarray(curve, dtype=np.float64) for curve in lattice.lines(level))
    # a lattice point that lies at the level itself may give a curve of one place
    return tuple(curve for curve in curves if len(np.unique(curve, axis=0)) > 1)
