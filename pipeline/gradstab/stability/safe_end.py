"""The largest safe value of an axis: where the stretch of safe values that holds the most probable one ends.

A value is safe where one new training is stable with p > .95. Axes: S draws, Q lines, T steps of a line, M points,
D axes of the space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradstab.regression.coordinates import Array
from gradstab.regression.single_threaded_blas import single_threaded_blas
from gradstab.stability.drawn_surface import NUM_DRAWS, DrawnSurface, missed_nearby
from gradstab.stability.estimator import Estimator
from gradstab.stability.region import INTERVAL, SAFE
from gradstab.stability.spans import STEPS, Span, line_units, lines, middle_of_best
from gradstab.study.axes import Value
from gradstab.study.space import Point


@dataclass(frozen=True)
class SafeEnd:
    """The largest safe value of an axis while the other axes are held.

    Attributes:
        held: the value of every other axis.
        low_value, value: the ends of the stretch of safe values that holds `best`; None where no value is safe.
        low, high: they hold the true upper end with probability .9. None for `low` where, with more than 5 %
            probability, no value is safe; for `high` where the true end may lie beyond what was searched.
        low_open, high_open: whether the stretch reaches an end of what was searched.
        others: further stretches of safe values, apart from that of `best`.
        best, p_best: the value at which one new training is most likely to be stable, and that probability.
    """

    axis: str
    held: dict[str, Value]
    low_value: Value | None
    value: Value | None
    low: Value | None
    high: Value | None
    low_open: bool
    high_open: bool
    others: tuple[Span, ...]
    best: Value
    p_best: float


@dataclass(frozen=True)
class DrawnEnds:
    """Upper ends of safe stretches under joint draws of the true surface, one for each line, in unit coordinates.

    Attributes:
        end_SQ: the end; -inf where nothing is safe at the line's best step, +inf where the stretch reaches the end
            of what was searched.
    """

    end_SQ: Array

    def interval(self, line: int) -> tuple[float, float]:
        """The 90 % interval of one line's end."""
        low, high = np.quantile(self.end_SQ[:, line], INTERVAL, method="nearest")
        return float(low), float(high)


class DrawnLines:
    """Joint draws of the latent responses along lines through the space.

    Their deviations from the mean can be shrunk, as more trials would shrink them: by sqrt(k) for k times as many.
    """

    @single_threaded_blas
    def __init__(
        self,
        estimator: Estimator,
        axis: str,
        held: Sequence[Point],
        *,
        steps: int = STEPS,
    ) -> None:
        coordinates = estimator.coordinates
        unit_QTD = line_units(coordinates, axis, held, steps)
        unit_MD = coordinates.snapped(unit_QTD.reshape(-1, coordinates.num_axes))
        self._unit_QTD = unit_MD.reshape(unit_QTD.shape)
        self._shape = (NUM_DRAWS, len(held), steps)
        self._unseen_S = np.random.default_rng(1).uniform(-1, 1, NUM_DRAWS)
        best_QT = estimator.probabilities(unit_MD).p_next.reshape(-1, steps)
        self._best_Q = [middle_of_best(p_T) for p_T in best_QT]
        self._surface = DrawnSurface(estimator, unit_MD)

    def ends(self, *, times: float = 1.0) -> DrawnEnds:
        """The upper ends, as they would be known from `times` as many trials."""
        p_SQT = self._surface.stable(times=times).reshape(self._shape)
        shift_S = self._unseen_S / np.sqrt(times)
        ends = [
            _ends(p_SQT[:, line], best) + self._unseen_range(line) * shift_S for line, best in enumerate(self._best_Q)
        ]
        return DrawnEnds(np.stack(ends, axis=1))

    def is_safe_if_known(self, line: int) -> bool:
        """Whether some value of a line would be safe if the expected surface were the true one."""
        return bool((self._surface.stable(times=np.inf).reshape(self._shape)[0, line] > SAFE).any())

    def _unseen_range(self, line: int) -> float:
        """How far the end may lie to either side because no trial shows where between two trials a cliff is.

        The forecast of a trial at a cliff is wrong by half the cliff's height, and the mean crosses the edge with that
        height over the distance of two trials: their ratio is half that distance, the range on either side.
        """
        _, num_lines, steps = self._shape
        best = self._best_Q[line]
        crossed: list[tuple[int, float]] = []
        for response in self._surface.responses:
            mean_T = response.mean_M.reshape(num_lines, steps)[line]
            for edge in response.surrogate.band.edges:
                above_T = mean_T[best:] > float(response.surrogate.warp(edge))
                changes = np.flatnonzero(above_T[1:] != above_T[:-1])
                if len(changes):
                    step = best + int(changes[0])
                    slope = abs(mean_T[step + 1] - mean_T[step]) * (steps - 1)
                    missed = missed_nearby(response.surrogate, self._unit_QTD[line, step])
                    crossed.append((step, float(missed / slope)))
        return min(crossed)[1] if crossed else 0.0


def safe_end(estimator: Estimator, axis: str, held: Point, drawn: DrawnLines | None = None) -> SafeEnd:
    """The largest safe value of a numeric axis while the others are held.

    Args:
        held: a value for every other axis.
        drawn: draws along this very line, where the caller has them already.

    Raises:
        UsageError: no such numeric axis, or a value is missing or lies outside the space.
    """
    (line,) = lines(estimator, axis, [held])
    holds = [span for span in line.safe if _number(span.low) <= _number(line.best) <= _number(span.high)]
    span = holds[0] if holds else None
    low, high = (drawn or DrawnLines(estimator, axis, [held])).ends().interval(0)

    def value(unit: float) -> Value | None:
        return estimator.coordinates.axis_value(axis, unit) if -np.inf < unit <= 1 else None

    return SafeEnd(
        axis=axis,
        held=line.held,
        low_value=None if span is None else span.low,
        value=None if span is None else span.high,
        low=value(low),
        high=value(high),
        low_open=span is not None and span.low_open,
        high_open=span is not None and span.high_open,
        others=tuple(other for other in line.safe if other is not span),
        best=line.best,
        p_best=line.p_best,
    )


def _ends(p_ST: Array, best: int) -> Array:
    """Where p falls to the safe level above the best step, in unit coordinates."""
    last = p_ST.shape[1] - 1
    unsafe_ST: NDArray[np.bool_] = p_ST[:, best:] <= SAFE
    falls_S = unsafe_ST.any(axis=1)
    first_S = best + np.argmax(unsafe_ST, axis=1)
    row_S = np.arange(len(p_ST))
    inside_S = p_ST[row_S, np.maximum(first_S - 1, 0)]
    outside_S = p_ST[row_S, first_S]
    share_S = (inside_S - SAFE) / np.maximum(inside_S - outside_S, 1e-12)
    end_S = np.where(falls_S, (first_S - 1 + share_S) / last, np.inf)
    return np.where(unsafe_ST[:, 0], -np.inf, end_S)


def _number(value: Value) -> float:
    return float(value)
