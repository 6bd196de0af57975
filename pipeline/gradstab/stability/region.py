"""Stability regions: the connected parts of {p_region >= level}, their volumes and how certain these are.

Volumes are fractions of the search space, in the coordinates that are searched. Axes: M cells, K cells of a part,
D axes of the space, E pairs of cells, S draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from gradstab.errors import UsageError
from gradstab.regression.coordinates import Array
from gradstab.regression.single_threaded_blas import single_threaded_blas
from gradstab.stability.estimator import Estimator
from gradstab.stability.phase_diagram import Cloud, PhaseDiagram, nearest_pairs
from gradstab.study.axes import Value

SAFE = 0.95  # p_next of the safe core
INTERVAL = (0.05, 0.95)  # of draws: it holds the truth with probability .9
_CERTAIN = 1e-4  # cells this near to 0 or 1 are not drawn
WIDENING = (
    1.25  # widens intervals, because fitted hyper-parameters and an inexact model hide uncertainty (planted regions)
)
_UNSEEN = 1 / 24  # variance of a volume per boundary cell, in cells (measured on planted regions in 2 to 4 dimensions)
_MOST_DRAWN = 1500  # the cost of joint draws grows with the cube
_STEPS_OUTWARD, _REACH = 16, 2.0  # points beyond the outermost cell, and over how many cell distances they reach
_STEPS_BETWEEN = 7  # points between two cells that may belong together


@dataclass(frozen=True)
class Volume:
    """The fraction of the space with p_region >= 1/2, and an interval that holds the truth with probability .9."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Extent:
    """Least and greatest value of an axis in a region. An end is open if the region reaches the end of the search."""

    low: Value
    high: Value
    low_open: bool
    high_open: bool


@dataclass(frozen=True)
class Region:
    """One connected part of {p_region >= level}.

    Attributes:
        cell_K: its cells.
        choices: value of every choice axis: regions of different choices are never connected.
        volume: of the true region around it, with a 90 % interval from joint posterior draws.
        core_volume: fraction of the search space that lies in it and has p_next > .95.
        extent: by numeric axis, to the resolution.
    """

    cell_K: NDArray[np.int64]
    choices: dict[str, Value]
    volume: Volume
    core_volume: float
    extent: dict[str, Extent]


@dataclass(frozen=True)
class Regions:
    """All regions of a phase diagram, the largest first.

    Attributes:
        volume: fraction of the whole space with every median in band, small parts without a region included.
        core_M: the safe core, {p_next > .95}.
        misclassified_volume: expected fraction of the space on the wrong side of p_region = 1/2.
        resolution: distance of cells in unit coordinates; parts, gaps and ends are known to that accuracy.
        num_trials: measured trials behind it.
    """

    parts: tuple[Region, ...]
    level: float
    volume: Volume
    core_M: NDArray[np.bool_]
    misclassified_volume: float
    resolution: float
    num_trials: int

    @property
    def core_volume(self) -> float:
        """Fraction of the search space in the safe core."""
        return float(self.core_M.mean())


@single_threaded_blas
def find_regions(
    estimator: Estimator, diagram: PhaseDiagram, *, level: float = 0.5, num_draws: int = 400, seed: int = 0
) -> Regions:
    """The regions of a phase diagram over a cloud.

    Args:
        estimator: the estimator that made the diagram.
        level: least p_region of a region.
        num_draws: joint posterior draws behind the volume intervals.

    Raises:
        UsageError: the diagram is one of a plane, or the level is not within (0, 1).
    """
    cells = diagram.cells
    if not isinstance(cells, Cloud):
        raise UsageError("regions need a diagram of the whole space, got one of a plane")
    if not 0 < level < 1:
        raise UsageError(f"level of a region must lie within (0, 1), got {level}")
    part_M = _parts(estimator, cells, diagram.p_region >= level, level)
    core_M = diagram.p_next > SAFE
    volumes = _Volumes(estimator, diagram, num_draws, np.random.default_rng(seed))
    owner_M = _owners(cells, part_M)
    parts = [
        _region(estimator, cells, np.flatnonzero(part_M == part), volumes.of(owner_M == part), core_M, level)
        for part in range(part_M.max() + 1)
    ]
    return Regions(
        parts=tuple(sorted(parts, key=lambda part: -part.volume.estimate)),
        level=level,
        volume=volumes.of(np.ones(len(part_M), dtype=bool)),
        core_M=core_M,
        misclassified_volume=diagram.misclassified_volume,
        resolution=cells.resolution,
        num_trials=diagram.num_trials,
    )


def _parts(estimator: Estimator, cells: Cloud, inside_M: NDArray[np.bool_], level: float) -> NDArray[np.int64]:
    """The number of the connected part each cell belongs to, -1 outside."""
    pair_E2 = cells.neighbours
    pair_E2 = pair_E2[inside_M[pair_E2].all(axis=1)]
    part_M = _components(pair_E2, inside_M)
    # a region narrower than the distance of cells breaks into specks; specks joined by a line inside belong together
    bridge_E2 = _bridges(cells, part_M)
    step_S = np.arange(1, _STEPS_BETWEEN + 1) / (_STEPS_BETWEEN + 1)
    start_ED, end_ED = cells.unit_MD[bridge_E2[:, 0]], cells.unit_MD[bridge_E2[:, 1]]
    between_ESD = start_ED[:, None] + step_S[:, None] * (end_ED - start_ED)[:, None]
    p_ES = estimator.probabilities(between_ESD.reshape(-1, cells.unit_MD.shape[1])).p_region.reshape(-1, _STEPS_BETWEEN)
    return _components(np.concatenate([pair_E2, bridge_E2[(p_ES >= level).all(axis=1)]]), inside_M)


def _components(pair_E2: NDArray[np.int64], inside_M: NDArray[np.bool_]) -> NDArray[np.int64]:
    count = len(inside_M)
    graph = coo_array((np.ones(len(pair_E2)), (pair_E2[:, 0], pair_E2[:, 1])), shape=(count, count))
    _, label_M = connected_components(graph, directed=False)
    part_M = np.full(count, -1, dtype=np.int64)
    part_M[inside_M] = np.unique(label_M[inside_M], return_inverse=True)[1]
    return part_M


def _bridges(cells: Cloud, part_M: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pairs of near cells in different parts; the nearest pair for each two parts."""
    nearest: dict[tuple[int, int], tuple[float, int, int]] = {}
    for number in np.unique(cells.choice):
        member_K = np.flatnonzero((cells.choice == number) & (part_M >= 0))
        pair_E2 = member_K[nearest_pairs(cells.numeric[member_K])]
        pair_E2 = pair_E2[part_M[pair_E2[:, 0]] != part_M[pair_E2[:, 1]]]
        for first, second in pair_E2.tolist():
            parts = (min(part_M[first], part_M[second]), max(part_M[first], part_M[second]))
            distance = float(np.linalg.norm(cells.numeric[first] - cells.numeric[second]))
            nearest[parts] = min(nearest.get(parts, (np.inf, 0, 0)), (distance, first, second))
    pairs = [(first, second) for _, first, second in nearest.values()]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _owners(cells: Cloud, part_M: NDArray[np.int64]) -> NDArray[np.int64]:
    """The part nearest to each cell among those of its choices, -1 where there is none."""
    owner_M = part_M.copy()
    for number in np.unique(cells.choice):
        mine_M = cells.choice == number
        member_K, other_K = np.flatnonzero(mine_M & (part_M >= 0)), np.flatnonzero(mine_M & (part_M < 0))
        if len(member_K) and len(other_K):
            _, nearest_K = cKDTree(cells.numeric[member_K]).query(cells.numeric[other_K])
            owner_M[other_K] = part_M[member_K[nearest_K]]
    return owner_M


class _Volumes:
    """Volumes with their intervals, from joint draws of the true region over a cloud.

    The estimate is the volume of {p_region >= 1/2}. (The expectation of p_region is too low if a response is flat
    inside its band and steep outside, as R is.) The draws give its error; the resolution of the cloud is added.
    """

    def __init__(self, estimator: Estimator, diagram: PhaseDiagram, num_draws: int, rng: np.random.Generator) -> None:
        cells = diagram.cells
        assert isinstance(cells, Cloud)
        p_M = diagram.p_region
        self._inside_M = p_M >= 0.5
        pair_E2 = cells.neighbours
        crossing_E = self._inside_M[pair_E2[:, 0]] != self._inside_M[pair_E2[:, 1]]
        self._edge_M = np.zeros(len(p_M), dtype=bool)
        self._edge_M[pair_E2[crossing_E].ravel()] = True
        self._unseen_S = rng.standard_normal(num_draws)
        uncertain_M = (p_M > _CERTAIN) & (p_M < 1 - _CERTAIN)
        self._size = len(p_M)
        while uncertain_M[: self._size].sum() > _MOST_DRAWN:  # a prefix of a cloud is a cloud
            self._size //= 2
        self._index_K = np.flatnonzero(uncertain_M[: self._size])
        self._drawn_SK = estimator.draws_inside(cells.unit_MD[self._index_K], num_draws, rng)

    def of(self, part_M: NDArray[np.bool_]) -> Volume:
        """Volume of the true region within a part of the cells."""
        count = len(part_M)
        drawn_S = self._drawn_SK[:, part_M[self._index_K]].sum(axis=1) / self._size
        unseen = math.sqrt(_UNSEEN * float((self._edge_M & part_M).sum())) / count
        estimate = float((self._inside_M & part_M).sum()) / count
        volume_S = estimate + WIDENING * (drawn_S - drawn_S.mean()) + unseen * self._unseen_S
        low, high = np.clip(np.quantile(volume_S, INTERVAL), 0, part_M.mean())
        return Volume(estimate, float(low), float(high))


def _region(
    estimator: Estimator,
    cells: Cloud,
    cell_K: NDArray[np.int64],
    volume: Volume,
    core_M: NDArray[np.bool_],
    level: float,
) -> Region:
    axes = cells.coordinates.space.axes
    point = cells.coordinates.points(cells.unit_MD[cell_K[:1]])[0]
    return Region(
        cell_K=cell_K,
        choices={name: point[name] for name, axis in axes.items() if axis.is_choice},
        volume=volume,
        core_volume=float(core_M[cell_K].sum() / len(core_M)),
        extent=_extents(estimator, cells, cells.unit_MD[cell_K], level),
    )


def _extents(estimator: Estimator, cells: Cloud, unit_KD: Array, level: float) -> dict[str, Extent]:
    """How far a part reaches along each numeric axis: to its outermost cell, and farther while p stays high."""
    coordinates = cells.coordinates
    columns = np.flatnonzero(~coordinates.choice_D).tolist()
    lines: list[Array] = []
    for column in columns:
        for index, end in ((unit_KD[:, column].argmin(), 0.0), (unit_KD[:, column].argmax(), 1.0)):
            line_LD = np.tile(unit_KD[index], (_STEPS_OUTWARD + 1, 1))
            reach = np.clip(end, *(line_LD[0, column] + np.array([-1, 1]) * _REACH * cells.resolution))
            line_LD[:, column] = np.linspace(line_LD[0, column], reach, _STEPS_OUTWARD + 1)
            lines.append(line_LD)
    inside_QL = np.ones((len(lines), _STEPS_OUTWARD + 1), dtype=bool)
    if lines:
        p_region = estimator.probabilities(np.concatenate(lines)).p_region
        inside_QL = np.logical_and.accumulate(p_region.reshape(inside_QL.shape) >= level, axis=1)
    extents = {}
    for pair, column in enumerate(columns):
        low, high = (
            float(lines[2 * pair + side][max(0, int(inside_QL[2 * pair + side].sum()) - 1), column]) for side in (0, 1)
        )
        name = coordinates.names[column]
        extents[name] = Extent(
            coordinates.axis_value(name, low), coordinates.axis_value(name, high), low == 0.0, high == 1.0
        )
    return extents
