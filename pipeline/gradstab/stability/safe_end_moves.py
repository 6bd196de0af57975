"""How the largest safe value of one axis moves with each other axis: a slope with its interval, or one value a choice.

Axes: S draws, Q levels of the other axis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradstab.regression.coordinates import Array
from gradstab.stability.estimator import Estimator
from gradstab.stability.region import INTERVAL
from gradstab.stability.safe_end import DrawnLines, SafeEnd, safe_end
from gradstab.study.axes import AnyAxis, Value
from gradstab.study.recipe import idle
from gradstab.study.space import Point

_LEVELS = 7
_STEPS = 65
_LEAST_LEVELS = 3
_LEAST_SHARE = 0.9  # of draws in which the end of a level lies within the search


@dataclass(frozen=True)
class Slope:
    """A straight line through the ends at several levels of another axis.

    Attributes:
        per_decade: change of log10 of the end for each factor of ten of the other axis. Where an axis has values that
            are not positive, its values count instead of their log10.
        low, high: they hold the true slope with probability .9.
        num_levels: levels at which the end was found within the search.
        log_end, log_other: whether log10 of the end, and of the other axis, is meant.
    """

    per_decade: float
    low: float
    high: float
    num_levels: int
    log_end: bool
    log_other: bool


@dataclass(frozen=True)
class Move:
    """The largest safe value at several levels of one other axis, the rest held.

    Attributes:
        levels: the values of the other axis, and the end at each.
        slope: None for a choice, and where fewer than three levels have an end within the search.
    """

    axis: str
    levels: tuple[tuple[Value, SafeEnd], ...]
    slope: Slope | None


def moves(estimator: Estimator, axis: str, held: Point) -> list[Move]:
    """How the largest safe value of an axis moves with every other axis that has an effect at a place."""
    space = estimator.coordinates.space
    return [
        _move(estimator, axis, name, other, held)
        for name, other in space.items()
        if name != axis and not idle(name, held)
    ]


def _move(estimator: Estimator, axis: str, name: str, other: AnyAxis, held: Point) -> Move:
    levels = [value for value in other.levels(_LEVELS) if not idle(axis, {**held, name: value})]
    places = [{**held, name: value} for value in levels]
    found = tuple((value, safe_end(estimator, axis, place)) for value, place in zip(levels, places, strict=True))
    slope = None if other.is_choice else _slope(estimator, axis, name, found)
    return Move(name, found, slope)


def _slope(estimator: Estimator, axis: str, name: str, found: tuple[tuple[Value, SafeEnd], ...]) -> Slope | None:
    """The line through the ends that lie within the search, fitted to each joint draw of the surface by itself."""
    axes = estimator.coordinates.space.axes
    drawn = DrawnLines(estimator, axis, [end.held for _, end in found], steps=_STEPS)
    end_SQ = drawn.ends().end_SQ
    inside_Q = np.isfinite(end_SQ).mean(axis=0) >= _LEAST_SHARE
    if inside_Q.sum() < _LEAST_LEVELS:
        return None
    end_SQ = end_SQ[np.isfinite(end_SQ[:, inside_Q]).all(axis=1)][:, inside_Q]
    log_end, log_other = (float(axes[each].extremes()[0]) > 0 for each in (axis, name))
    level_Q = np.array([float(value) for value, _ in found])[inside_Q]
    x_Q = np.log10(level_Q) if log_other else level_Q
    value_of: Callable[[float], float] = lambda unit: float(estimator.coordinates.axis_value(axis, unit))  # noqa: E731
    value_SQ: NDArray[np.float64] = np.vectorize(value_of, otypes=[float])(end_SQ)
    slope_S = _slopes(x_Q, np.log10(value_SQ) if log_end else value_SQ)
    low, middle, high = np.quantile(slope_S, [INTERVAL[0], 0.5, INTERVAL[1]]).tolist()
    return Slope(middle, low, high, int(inside_Q.sum()), log_end, log_other)


def _slopes(x_Q: Array, y_SQ: Array) -> Array:
    """Slopes by least squares, one for each row."""
    centred_Q = x_Q - x_Q.mean()
    return np.asarray(y_SQ @ centred_Q / (centred_Q @ centred_Q))
