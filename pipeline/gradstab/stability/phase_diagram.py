"""Probabilities over the whole space, or over a plane through it.

Axes: M cells, D axes of the space, E pairs of neighbours, X and Y steps of a plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from gradstab.regression.coordinates import Array, Coordinates
from gradstab.stability.estimator import Estimator, Probabilities
from gradstab.study.axes import Value

_LEAST_NEIGHBOURS = 4
_NEIGHBOURS_AN_AXIS = 4


@dataclass(frozen=True)
class Cloud:
    """Cells of equal volume over the whole space: scrambled Sobol points.

    The first 2^k cells are themselves a cloud, for every k.
    """

    coordinates: Coordinates
    unit_MD: Array

    @cached_property
    def choice(self) -> NDArray[np.int64]:
        """The combination of choices that a cell belongs to, shape (M,)."""
        return self.coordinates.choice(self.unit_MD)

    @property
    def numeric(self) -> Array:
        """Coordinates on the numeric axes, not snapped, so that the cells of an integer lie side by side."""
        return self.unit_MD[:, ~self.coordinates.choice_D]

    @property
    def resolution(self) -> float:
        """Distance of neighbouring cells in unit coordinates; smaller details are not seen."""
        num_numeric = int((~self.coordinates.choice_D).sum())
        cells_a_choice = len(self.unit_MD) / len(np.unique(self.choice))
        return float(cells_a_choice ** (-1 / num_numeric)) if num_numeric else 1.0

    @cached_property
    def neighbours(self) -> NDArray[np.int64]:
        """Pairs of neighbouring cells, shape (E, 2); cells of different choices are never neighbours."""
        pairs: list[NDArray[np.int64]] = []
        for number in np.unique(self.choice):
            member_K = np.flatnonzero(self.choice == number)
            pairs.append(member_K[nearest_pairs(self.numeric[member_K])])
        return np.concatenate(pairs)


def cloud(coordinates: Coordinates, log2_size: int = 12, seed: int = 0) -> Cloud:
    """2^log2_size cells over the whole space."""
    return Cloud(coordinates, coordinates.sobol(log2_size, seed))


def nearest_pairs(numeric_KD: Array) -> NDArray[np.int64]:
    """Pairs of each point with its nearest neighbours: four per axis, so that no direction is left out."""
    count, num_axes = numeric_KD.shape
    if num_axes == 0:  # all of them are one point
        return np.stack([np.arange(count - 1), np.arange(1, count)], axis=1)
    if num_axes == 1:  # the nearest few may all lie on one side, so the next point on each side is a neighbour too
        order_K = np.argsort(numeric_KD[:, 0], kind="stable")
        return np.stack([order_K[:-1], order_K[1:]], axis=1)
    most = min(count, 1 + max(_LEAST_NEIGHBOURS, _NEIGHBOURS_AN_AXIS * num_axes))
    if most <= 1:
        return np.empty((0, 2), dtype=np.int64)
    other_KN = np.asarray(cKDTree(numeric_KD).query(numeric_KD, k=most)[1], dtype=np.int64)
    return np.stack([np.repeat(np.arange(count), most - 1), other_KN[:, 1:].ravel()], axis=1)


@dataclass(frozen=True)
class Plane:
    """Cells of a lattice over two numeric axes; the other axes have fixed values.

    Attributes:
        x, y: names of the axes.
        held: value of every other axis.
        unit_X, unit_Y: middles of the cells in unit coordinates.
        unit_MD: the cells, row by row of y.
    """

    coordinates: Coordinates
    x: str
    y: str
    held: dict[str, Value]
    unit_X: Array
    unit_Y: Array
    unit_MD: Array

    def picture(self, field_M: Array) -> Array:
        """A field over the cells as an image, shape (Y, X)."""
        return field_M.reshape(len(self.unit_Y), len(self.unit_X))


@dataclass(frozen=True)
class PhaseDiagram:
    """The probabilities of every cell: of the median over seeds, and (only p_next) of one new training.

    Attributes:
        cells: the cells, of the whole space or of a plane.
        probabilities: those of each cell, shape (M,).
        num_trials: measured trials behind them.
    """

    cells: Cloud | Plane
    probabilities: Probabilities
    num_trials: int

    @property
    def p_region(self) -> Array:
        """Probability that the median over seeds of every response lies in band."""
        return self.probabilities.p_region

    @property
    def p_next(self) -> Array:
        """Probability that one new training lies in every band."""
        return self.probabilities.p_next

    @property
    def expected_volume(self) -> float:
        """Expected fraction of the cells in which the median lies in band."""
        return float(self.p_region.mean())

    @property
    def misclassified_volume(self) -> float:
        """Expected fraction of the cells on the wrong side of p_region = 1/2."""
        return float(np.minimum(self.p_region, 1 - self.p_region).mean())


def phase_diagram(estimator: Estimator, cells: Cloud | Plane) -> PhaseDiagram:
    """The phase diagram of an estimator over cells."""
    return PhaseDiagram(cells, estimator.probabilities(cells.unit_MD), estimator.num_trials)


LEVELS = (0.05, 0.5, 0.95)  # the middle level is the boundary; the outer two enclose it with probability .9
