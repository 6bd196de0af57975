"""Spans: the stable intervals of one axis while the other axes are fixed, along lines through a space.

Axes: Q lines, T steps of a line, D axes of the space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradstab.errors import UsageError
from gradstab.regression.coordinates import Array, Coordinates
from gradstab.stability.estimator import Estimator
from gradstab.stability.phase_diagram import LEVELS
from gradstab.stability.region import SAFE
from gradstab.study.axes import Value
from gradstab.study.space import Point

STEPS = 129


@dataclass(frozen=True)
class Span:
    """One interval of an axis.

    Attributes:
        low, high: its ends.
        low_open, high_open: whether it reaches the end of what was searched.
        low_between, high_between: where p_region passes .05 and .95 around the end; None if the end is open, or if
            p_region never reaches that level on that side.
        p_low, p_middle, p_high: p_next at the ends and in the middle (of the axis as it is searched).
    """

    low: Value
    middle: Value
    high: Value
    low_open: bool
    high_open: bool
    low_between: tuple[Value | None, Value | None] | None
    high_between: tuple[Value | None, Value | None] | None
    p_low: float
    p_middle: float
    p_high: float


@dataclass(frozen=True)
class Line:
    """The spans along one axis while the other axes are fixed.

    Attributes:
        held: fixed value of every other axis.
        region: spans where the median over seeds is stable, p_region >= 1/2.
        safe: spans where one new training is stable, p_next > .95.
        best, p_best: the value at which one new training is most likely to be stable, and that probability.
    """

    axis: str
    held: dict[str, Value]
    region: tuple[Span, ...]
    safe: tuple[Span, ...]
    best: Value
    p_best: float


def lines(estimator: Estimator, axis: str, held: Sequence[Point]) -> list[Line]:
    """The lines along a numeric axis through points, which give the values of the other axes.

    Raises:
        UsageError: no such numeric axis, or a point does not give every other axis within the space.
    """
    coordinates = estimator.coordinates
    if axis not in coordinates.names or coordinates.space.axes[axis].is_choice:
        numeric = list(coordinates.space.numeric())
        raise UsageError(f"a line needs a numeric axis ({', '.join(numeric) or 'the space has none'}), got {axis}")
    step_T = _line_steps(STEPS)
    unit_QTD = line_units(coordinates, axis, held)
    found = estimator.probabilities(unit_QTD.reshape(-1, coordinates.num_axes))
    region_QT, next_QT = found.p_region.reshape(-1, STEPS), found.p_next.reshape(-1, STEPS)

    def line(point: Point, region_T: Array, next_T: Array) -> Line:
        best = float(step_T[middle_of_best(next_T)])
        return Line(
            axis=axis,
            held={name: value for name, value in point.items() if name != axis},
            region=tuple(_span(estimator, axis, region_T, next_T, run) for run in _runs(region_T, LEVELS[1])),
            safe=tuple(_span(estimator, axis, None, next_T, run) for run in _runs(next_T, SAFE)),
            best=coordinates.axis_value(axis, best),
            p_best=float(next_T.max()),
        )

    return [line(*each) for each in zip(held, region_QT, next_QT, strict=True)]


def line_units(coordinates: Coordinates, axis: str, held: Sequence[Point], steps: int = STEPS) -> Array:
    """Unit coordinates along an axis through points, evenly as the axis is searched; shape (Q, T, D)."""
    anywhere = coordinates.axis_value(axis, 0.5)
    unit_QTD = np.repeat(coordinates.unit([{**point, axis: anywhere} for point in held])[:, None], steps, axis=1)
    unit_QTD[:, :, coordinates.names.index(axis)] = _line_steps(steps)
    return unit_QTD


def line_values(coordinates: Coordinates, axis: str) -> Array:
    """The values of an axis at the steps of a line, shape (T,)."""
    return np.array([float(coordinates.axis_value(axis, unit)) for unit in _line_steps(STEPS)])


def middle_of_best(p_T: Array) -> int:
    """The middle of the longest run of steps that equal the best."""
    start, end = max(_stretches(p_T >= p_T.max() - 1e-3), key=lambda run: run[1] - run[0])
    return (start + end) // 2


def _line_steps(count: int) -> Array:
    """Places of the steps of a line, in unit coordinates of its axis."""
    return np.linspace(0, 1, count)


def _stretches(inside_T: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last step of each run."""
    change = np.flatnonzero(np.diff(np.concatenate([[False], inside_T, [False]])))
    return [(int(start), int(end) - 1) for start, end in change.reshape(-1, 2)]


def _runs(p_T: Array, level: float) -> list[tuple[float, float]]:
    """Runs above a level, in steps; ends between two steps by linear interpolation."""
    last = len(p_T) - 1
    runs = []
    for start, end in _stretches(p_T >= level):
        low = start if start == 0 else start - _share(p_T[start], p_T[start - 1], level)
        high = end if end == last else end + _share(p_T[end], p_T[end + 1], level)
        runs.append((float(low), float(high)))
    return runs


def _share(inside: float, outside: float, level: float) -> float:
    """Where between a step inside and the next one outside a level is passed, as a fraction."""
    return float((inside - level) / (inside - outside))


def _span(estimator: Estimator, axis: str, region_T: Array | None, next_T: Array, run: tuple[float, float]) -> Span:
    last = len(next_T) - 1
    low, high = run
    middle = 0.5 * (low + high)
    p_low, p_middle, p_high = np.interp([low, middle, high], np.arange(last + 1), next_T).tolist()

    def value(step: float) -> Value:
        return estimator.coordinates.axis_value(axis, min(1.0, max(0.0, step / last)))

    def between(step: float, towards: int) -> tuple[Value | None, Value | None] | None:
        """Where p_region passes the outer and the inner level around an end; `towards` points inside."""
        if region_T is None or step in {0.0, float(last)}:
            return None
        outer = _passed(region_T, step, -towards, LEVELS[0])
        inner = _passed(region_T, step, towards, LEVELS[2])
        return tuple(None if at is None else value(at) for at in (outer, inner))  # type: ignore[return-value]

    return Span(
        low=value(low),
        middle=value(middle),
        high=value(high),
        low_open=low == 0,
        high_open=high == last,
        low_between=between(low, 1),
        high_between=between(high, -1),
        p_low=p_low,
        p_middle=p_middle,
        p_high=p_high,
    )


def _passed(p_T: Array, start: float, towards: int, level: float) -> float | None:
    """The first place from a step on, in one direction, where p passes a level; None if it never does."""
    begin = int(np.floor(start)) + (1 if towards > 0 else 0)
    rising = level > LEVELS[1]
    before_at, before = start, LEVELS[1]
    for step in range(begin, len(p_T) if towards > 0 else -1, towards):
        here = float(p_T[step])
        if (here >= level) if rising else (here <= level):
            share = (level - before) / (here - before) if here != before else 1.0
            return before_at + share * (step - before_at)
        before_at, before = float(step), here
    return None
