"""First answers of a study: the intervals of one of its axes that proved stable, read off measured trials.

No model is fitted, so the table exists from the first trial on. A row stands for one combination of the study's choices
and one band of depths; the other axes are not told apart in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradstab.study.axes import AnyAxis, Choice, Value
from gradstab.study.recipe import idle
from gradstab.study.space import Point, SearchSpace

SCALES = ("init_scale", "relative_init_scale")  # what a table is about where a study varies it
DEPTH = "depth"
MOST_SINGLE_DEPTHS = 5
NUM_BANDS = 4
MOST_ROWS = 48


@dataclass(frozen=True)
class StableInterval:
    """The interval of an axis that separates stable trials from unstable ones with the fewest mistakes.

    Attributes:
        choices: the value of each choice that the row stands for.
        depth_low, depth_high: least and greatest depth tried in the row; None where depths are not told apart.
        lower, upper: its ends, each in the middle between the outermost value inside and the next one tried. None
            where the interval reaches the end of what was tried ("open"), and where there is no interval.
        found: whether there is one; without one, trials at no value were stable more often than not.
        applies: whether the axis has an effect at these choices; a clip threshold has none without clipping.
        num_trials, num_stable: trials in the row, and stable ones among them.
        num_inside, num_stable_inside: the same within the interval.
        num_misclassified: unstable trials inside and stable ones outside.
        typical: one point that stands for the row: its choices, and the median of every other axis with an order.
    """

    choices: Mapping[str, Value]
    depth_low: int | None
    depth_high: int | None
    lower: float | None
    upper: float | None
    found: bool
    applies: bool
    num_trials: int
    num_stable: int
    num_inside: int
    num_stable_inside: int
    num_misclassified: int
    typical: Mapping[str, Value]

    @property
    def fraction_stable(self) -> float | None:
        """Fraction of stable trials inside the interval."""
        return self.num_stable_inside / self.num_inside if self.num_inside else None


@dataclass(frozen=True)
class IntervalTable:
    """The stable intervals of one axis of a study.

    Attributes:
        axis: the init scale where the study varies it, else its first numeric axis, depth last; None where every axis
            is a choice, and rows then only count.
        choices: the axes whose values have rows of their own, in the order of the space.
        by_depth: whether bands of depths have rows of their own.
        merged: the other axes, whose values a row does not tell apart.
    """

    axis: str | None
    choices: tuple[str, ...]
    by_depth: bool
    merged: tuple[str, ...]
    rows: tuple[StableInterval, ...]


def stable_intervals(space: SearchSpace, points: Sequence[Point], margins: Sequence[float]) -> IntervalTable:
    """The table of stable intervals: rows in the order of the space's choices, then of depth; none for no trials.

    A stable trial far off, or an unstable one among stable ones, counts as misclassified and moves no end. Of intervals
    that are equally good the one with the fewest values is taken. Up to 5 depths have a row each; more are put into 4
    bands of equal ratio.

    Args:
        points: the point of each measured trial; leave out those whose machine failed.
        margins: the margin of each; above 0 is stable.
    """
    axes = space.axes
    ordered = [name for name, axis in axes.items() if _is_ordered(name, axis)]
    axis = main_axis(ordered)
    by_depth = DEPTH in ordered and axis != DEPTH
    band_of = _depth_bands([_whole(point[DEPTH]) for point in points]) if by_depth else {}
    choices = _split(axes, ordered, max(1, len(set(band_of.values()))))
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, point in enumerate(points):
        places = [_place(axes[name], point[name]) for name in choices]
        band = band_of[_whole(point[DEPTH])] if by_depth else 0
        groups.setdefault((*places, band), []).append(index)
    log = axis is not None and (axis in SCALES or axes[axis].is_log)
    return IntervalTable(
        axis=axis,
        choices=choices,
        by_depth=by_depth,
        merged=tuple(name for name in axes if name not in (axis, *choices) and not (by_depth and name == DEPTH)),
        rows=tuple(
            _interval(
                [points[index] for index in groups[key]],
                np.array([margins[index] > 0 for index in groups[key]]),
                axis,
                choices,
                [name for name in ordered if name != axis],
                log=log,
                by_depth=by_depth,
            )
            for key in sorted(groups)
        ),
    )


def main_axis(names: Iterable[str]) -> str | None:
    """The axis that an answer is about: the init scale if it is there, else the first one, depth only if alone."""
    return min(names, key=lambda name: (name not in SCALES, name == DEPTH), default=None)


def _is_ordered(name: str, axis: AnyAxis) -> bool:
    """Whether values of an axis lie on a line: numbers, and scales and depths that are given as choices."""
    if not isinstance(axis, Choice):
        return True
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in axis.choices)
    return numbers and name in (*SCALES, DEPTH)


def _split(axes: Mapping[str, AnyAxis], ordered: Sequence[str], num_bands: int) -> tuple[str, ...]:
    """The choices that have rows of their own: in the order of the space, as many as the table has room for."""
    kept: list[str] = []
    rows = num_bands
    for name, axis in axes.items():
        if isinstance(axis, Choice) and name not in ordered and rows * len(axis.choices) <= MOST_ROWS:
            kept.append(name)
            rows *= len(axis.choices)
    return tuple(kept)


def _place(axis: AnyAxis, value: Value) -> int:
    place = axis.index(value) if isinstance(axis, Choice) else None
    assert place is not None, f"{value} must be a choice of the axis"
    return place


def _whole(value: Value) -> int:
    return int(value)


def _depth_bands(depths: Sequence[int]) -> dict[int, int]:
    """Depth to the number of its band."""
    distinct = sorted(set(depths))
    if len(distinct) <= MOST_SINGLE_DEPTHS:
        return {depth: band for band, depth in enumerate(distinct)}
    ratio = math.log(distinct[-1] / distinct[0])
    return {d: min(NUM_BANDS - 1, math.floor(NUM_BANDS * math.log(d / distinct[0]) / ratio)) for d in distinct}


def _interval(
    points: list[Point],
    stable: NDArray[np.bool_],
    axis: str | None,
    choices: Sequence[str],
    others: Sequence[str],
    *,
    log: bool,
    by_depth: bool,
) -> StableInterval:
    held = {name: points[0][name] for name in choices}
    depths = sorted(_whole(point[DEPTH]) for point in points) if by_depth else []
    applies = axis is not None and not idle(axis, held)
    first, end, level, inside = 0, 0, np.zeros(0), np.zeros(len(points), dtype=bool)
    if axis is not None and applies:
        value = np.array([float(point[axis]) for point in points])
        level, level_of_trial = np.unique(np.log(value) if log else value, return_inverse=True)
        excess = np.bincount(level_of_trial, weights=np.where(stable, 1.0, -1.0)).astype(np.float64)
        first, end = _best_segment(excess)
        inside = (level_of_trial >= first) & (level_of_trial < end)
    found = first < end
    return StableInterval(
        choices=held,
        depth_low=depths[0] if depths else None,
        depth_high=depths[-1] if depths else None,
        lower=_middle(level, first, log=log) if found else None,
        upper=_middle(level, end, log=log) if found else None,
        found=found,
        applies=applies,
        num_trials=len(points),
        num_stable=int(stable.sum()),
        num_inside=int(inside.sum()),
        num_stable_inside=int((stable & inside).sum()),
        num_misclassified=int((stable != inside).sum()) if applies else 0,
        typical=held
        | {name: sorted((point[name] for point in points), key=float)[len(points) // 2] for name in others},
    )


def _best_segment(excess: NDArray[np.float64]) -> tuple[int, int]:
    """Start and end of the run of levels with the greatest sum, the shortest of the best; empty if none is positive.

    Misclassified trials are fewest where stable less unstable ones inside are most (Kadane's maximum-sum run).
    """
    best_sum, best = 0.0, (0, 0)
    run_sum, start = 0.0, 0
    for index, value in enumerate(excess):
        if run_sum <= 0:
            run_sum, start = 0.0, index
        run_sum += float(value)
        shorter = index + 1 - start < best[1] - best[0]
        if run_sum > best_sum or (run_sum == best_sum > 0 and shorter):
            best_sum, best = run_sum, (start, index + 1)
    return best


def _middle(level: NDArray[np.float64], index: int, *, log: bool) -> float | None:
    """The middle between the levels before and at an index; None at the ends of what was tried."""
    if index in {0, len(level)}:
        return None
    middle = 0.5 * float(level[index - 1] + level[index])
    return math.exp(middle) if log else middle
