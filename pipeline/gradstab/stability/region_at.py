"""The stability region at a point: spans of the open axes, the nearest cliff, the nearest trials.

Axes: N trials, M cells, K directions, T steps of a ray, D axes of the space.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gradstab.errors import UsageError
from gradstab.regression.coordinates import Array, Coordinates
from gradstab.regression.single_threaded_blas import single_threaded_blas
from gradstab.stability.estimator import Estimator
from gradstab.stability.region import SAFE
from gradstab.stability.spans import Line, lines
from gradstab.study.axes import AnyAxis, Choice, Value
from gradstab.study.did_you_mean import nearest
from gradstab.study.recipe import idle
from gradstab.study.space import Point, SearchSpace
from gradstab.study.spelling import listed, spelled

_NEAREST = 5
_LOG2_CELLS = 10
_DIRECTIONS, _RAY_STEPS = 96, 40


@dataclass(frozen=True)
class Cliff:
    """The nearest place where the median leaves the region.

    Attributes:
        distance: in search coordinates, where 1 is the whole range of an axis.
        point: the first point seen outside.
        side: what happens there ("exploding", "diverged", ...).
    """

    distance: float
    point: dict[str, Value]
    side: str


@dataclass(frozen=True, repr=False)
class RegionAt:
    """The answer at a point. Printed, it reads as `gradstab region` does.

    Attributes:
        at: the axes that were given.
        point: the point that the answer is about. Axes that were not given get the values farthest inside the region.
        p_next: one new training at `point` is stable.
        p_region: the median over seeds at `point` is.
        safe_share: fraction of the open axes' space in which p_next > .95.
        lines: spans of each open numeric axis, for each value of the open choices; other axes as in `point`.
        cliff: the cliff nearest to `point` along all numeric axes, also given ones; None if none was seen.
        nearest: the nearest measured trials: index among those given, and distance in search coordinates.
        text: the answer in words, as `Results.region` gives it.
    """

    at: dict[str, Value]
    point: dict[str, Value]
    p_next: float
    p_region: float
    safe_share: float
    lines: tuple[Line, ...]
    cliff: Cliff | None
    nearest: tuple[tuple[int, float], ...]
    text: str = ""

    def __str__(self) -> str:
        return self.text or repr(self)

    def __repr__(self) -> str:
        return f"<RegionAt {self.point}: p_next {self.p_next:.2f}, p_region {self.p_region:.2f}>"


@single_threaded_blas
def region_at(
    estimator: Estimator, at: Mapping[str, Value], points: Sequence[Point], fixed: Mapping[str, object]
) -> RegionAt:
    """The answer of an estimator where some axes have given values.

    Args:
        at: values by axis; a field that the study fixed may be given with its fixed value.
        points: the measured trials' points.
        fixed: values that the study fixed, by field.

    Raises:
        UsageError: a value lies outside what was searched, or a name is no axis of the study.
    """
    coordinates = estimator.coordinates
    given = _given(coordinates.space, at, fixed)
    cell_MD = coordinates.sobol(_LOG2_CELLS if len(given) < coordinates.num_axes else 0, 0)
    for name, value in given.items():
        cell_MD[:, coordinates.names.index(name)] = coordinates.axis_unit(name, value)
    cell_MD = coordinates.snapped(cell_MD)
    found = estimator.probabilities(cell_MD)
    unit_D = cell_MD[_deepest(coordinates, cell_MD, found.p_next)]
    point = {**coordinates.points(unit_D[None])[0], **given}
    here = estimator.probabilities(unit_D[None])
    branches = [{**point, **choices} for choices in _open_choices(coordinates.space, given)]
    open_axes = [name for name in coordinates.space.numeric() if name not in given]
    return RegionAt(
        at=given,
        point=point,
        p_next=float(here.p_next[0]),
        p_region=float(here.p_region[0]),
        safe_share=float((found.p_next > SAFE).mean()),
        lines=tuple(
            line
            for name in open_axes
            for line in lines(estimator, name, [branch for branch in branches if not idle(name, branch)])
        ),
        cliff=_nearest_cliff(estimator, unit_D) if here.p_region[0] >= 0.5 else None,
        nearest=_nearest_trials(coordinates, unit_D, points),
    )


def _given(space: SearchSpace, at: Mapping[str, Value], fixed: Mapping[str, object]) -> dict[str, Value]:
    """The given values of axes, each checked to lie within what was searched."""
    given: dict[str, Value] = {}
    for name, value in at.items():
        if name in space.axes:
            given[name] = _within(name, space.axes[name], value)
        elif name not in fixed:
            hint = nearest(name, (*space.names(), *fixed))
            raise UsageError(f"the study has no axis {name!r}{hint}; its axes are {', '.join(space.names())}")
        elif fixed[name] != value:
            raise UsageError(
                f"{name} = {listed([value])} was not tried: the study fixed {name} = {spelled(fixed[name])} "
                "and says nothing of other values"
            )
    return given


def _open_choices(space: SearchSpace, given: Point) -> list[dict[str, Value]]:
    """Every combination of the choices that are open; one empty one where none is."""
    open_axes = {name: axis for name, axis in space.choices().items() if name not in given}
    options = itertools.product(*(axis.choices for axis in open_axes.values()))
    return [dict(zip(open_axes, values, strict=True)) for values in options]


def _within(name: str, axis: AnyAxis, value: Value) -> Value:
    if axis.contains(value):
        return value
    if isinstance(axis, Choice):
        shown, hint = listed([value]), nearest(str(value), map(str, axis.choices))
        raise UsageError(f"{name} = {shown} lies outside what was searched: {listed(axis.choices)}{hint}")
    if isinstance(value, bool | str) or not math.isfinite(value):
        raise UsageError(f"{name} must be a finite number, got {value!r}")
    if axis.is_whole and value != int(value):
        raise UsageError(f"{name} must be a whole number, got {value:g}")
    raise UsageError(
        f"{name} = {value:g} lies outside what was searched, {axis.low:g} to {axis.high:g}: "
        "the study says nothing about it"
    )


def _deepest(coordinates: Coordinates, cell_MD: Array, p_M: Array) -> int:
    """The safe cell that is farthest from unsafe cells; the safest cell if none is safe."""
    safe_M = p_M > SAFE
    if not safe_M.any():
        return int(np.argmax(p_M))
    numeric_D = ~coordinates.choice_D
    choice_M = coordinates.choice(cell_MD)
    depth_M = np.zeros(len(cell_MD))
    for number in np.unique(choice_M[safe_M]):
        safe_K = np.flatnonzero(safe_M & (choice_M == number))
        unsafe_K = np.flatnonzero(~safe_M & (choice_M == number))
        wall_K = _squared(cell_MD[safe_K][:, numeric_D], cell_MD[unsafe_K][:, numeric_D]).min(axis=1, initial=np.inf)
        # the ends of the search are no cliffs: only the end of the region counts
        depth_M[safe_K] = np.minimum(wall_K, 4.0) + 1e-3 * p_M[safe_K]
    return int(np.argmax(depth_M))


def _squared(a_ND: Array, b_MD: Array) -> Array:
    return np.asarray(((a_ND[:, None] - b_MD[None]) ** 2).sum(axis=2))


def _nearest_cliff(estimator: Estimator, unit_D: Array) -> Cliff | None:
    """The nearest place with p_region < 1/2 on rays along the numeric axes and between them."""
    coordinates = estimator.coordinates
    numeric = np.flatnonzero(~coordinates.choice_D)
    if len(numeric) == 0:
        return None
    axial = np.concatenate([np.eye(len(numeric)), -np.eye(len(numeric))])
    others = np.random.default_rng(0).standard_normal((_DIRECTIONS if len(numeric) > 1 else 0, len(numeric)))
    direction_KD = np.zeros((len(axial) + len(others), coordinates.num_axes))
    direction_KD[:, numeric] = np.concatenate([axial, others])
    direction_KD /= np.linalg.norm(direction_KD, axis=1, keepdims=True)
    step_T = np.linspace(0, 1, _RAY_STEPS + 1)[1:] ** 2 * math.sqrt(len(numeric))
    ray_KTD = unit_D + step_T[:, None] * direction_KD[:, None]
    within_KT = ((ray_KTD >= 0) & (ray_KTD <= 1)).all(axis=2)
    unit_PD = coordinates.snapped(ray_KTD[within_KT])
    found = estimator.probabilities(unit_PD)
    # distances to the snapped points, not to the points of the ray
    distance_P = np.linalg.norm(unit_PD - unit_D, axis=1)
    beyond = np.flatnonzero(found.p_region < 0.5)
    if len(beyond) == 0:
        return None
    nearest = int(beyond[np.argmin(distance_P[beyond])])
    sides = {"diverged": float(found.p_diverged[nearest]), **{k: float(v[nearest]) for k, v in found.sides.items()}}
    return Cliff(
        distance=float(distance_P[nearest]),
        point=coordinates.points(unit_PD[nearest : nearest + 1])[0],
        side="diverged" if sides["diverged"] >= 0.5 else max(sides, key=lambda side: sides[side]),
    )


def _nearest_trials(coordinates: Coordinates, unit_D: Array, points: Sequence[Point]) -> tuple[tuple[int, float], ...]:
    here, trials = coordinates.features(unit_D[None]), coordinates.features(coordinates.unit(points))
    distance_N = np.sqrt(_squared(here, trials)[0])
    order = np.argsort(distance_N, kind="stable")[:_NEAREST]
    return tuple((int(index), float(distance_N[index])) for index in order)
