"""The region as a table: the stable interval of one axis for values of all others, beside that of theory.

Axes: Q rows, T steps of a line.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from gradstab.figures.layout import SCALES, PanelLayout
from gradstab.regression.coordinates import Array
from gradstab.results.results import Results
from gradstab.stability.spans import STEPS, Line, line_values, lines
from gradstab.study.axes import Value
from gradstab.study.recipe import distinct
from gradstab.theory.ratio_field import predicted_field
from gradstab.theory.relative_scale import resolved_recipe

_MOST_ROWS = 48
_LEVELS = (6, 5, 4, 3, 2)


@dataclass(frozen=True)
class Predicted:
    """The interval that mean-field theory gives of |R| < R0; an end is None where it lies beyond the search."""

    low: float | None
    high: float | None
    found: bool


@dataclass(frozen=True)
class IntervalRow:
    """One line through the space.

    Attributes:
        judged: under the criterion.
        ratio: under R alone, which is what theory speaks of.
        theory: None where the axis is no init scale, or theory does not know the activation.
    """

    judged: Line
    ratio: Line
    theory: Predicted | None


@dataclass(frozen=True)
class EdgeErrors:
    """Measured edges of |R| < R0 over predicted ones.

    Attributes:
        num_edges: edges that both have within the search.
        median, worst: of |measured / predicted - 1|.
    """

    num_edges: int
    median: float
    worst: float


def interval_table(results: Results, layout: PanelLayout) -> list[IntervalRow]:
    """Rows for every combination of choices and a few values of each other axis; along the init scale if it varies."""
    axes = results.study.space.axes
    axis = next((name for name in SCALES if name in axes and not axes[name].is_choice), layout.x)
    held = _held(results, layout, axis)
    judged = lines(results.estimator, axis, held)
    ratio = judged if results.judged_by == ("R",) else lines(results.every_estimator.only("R"), axis, held)
    theory = _theory(results, axis, held) if axis in SCALES else [None] * len(held)
    return [IntervalRow(*each) for each in zip(judged, ratio, theory, strict=True)]


def edge_errors(rows: list[IntervalRow]) -> EdgeErrors | None:
    """How far the measured edges of R's band lie from the predicted ones; None where no edge has both."""
    errors = []
    for row in rows:
        if row.theory is None or len(row.ratio.region) != 1:
            continue
        (span,) = row.ratio.region
        for measured, is_open, predicted in (
            (span.low, span.low_open, row.theory.low),
            (span.high, span.high_open, row.theory.high),
        ):
            if predicted is not None and not is_open and isinstance(measured, int | float):
                errors.append(abs(measured / predicted - 1))
    if not errors:
        return None
    return EdgeErrors(len(errors), float(np.median(errors)), max(errors))


def _held(results: Results, layout: PanelLayout, axis: str) -> list[dict[str, Value]]:
    """The values of every other axis, as many levels each as rows allow."""
    axes = {name: other for name, other in results.study.space.items() if name != axis}
    for count in _LEVELS:
        levels = {name: other.levels(count) for name, other in axes.items()}
        if math.prod(map(len, levels.values())) <= _MOST_ROWS:
            break
    else:
        kept = {layout.y, *(name for choice in layout.choices for name in choice)}
        fixed = {**layout.held, **({layout.cut[0]: layout.cut[1][1]} if layout.cut else {})}
        levels = {name: values if name in kept else [fixed[name]] for name, values in levels.items() if name in axes}
    # choices vary slowest, so that rows of one activation stand together
    order = sorted(levels, key=lambda name: not axes[name].is_choice)
    rows = [dict(zip(order, values, strict=True)) for values in itertools.product(*(levels[name] for name in order))]
    return distinct(rows)


def _theory(results: Results, axis: str, held: list[dict[str, Value]]) -> list[Predicted | None]:
    """The band of R along each line, by linear interpolation between steps, in units of the axis."""
    value_T = line_values(results.every_estimator.coordinates, axis)
    recipes = [resolved_recipe(results.study, {**row, axis: value}) for row in held for value in value_T.tolist()]
    ratio_QT = predicted_field(recipes).reshape(len(held), STEPS)
    return [_predicted(np.log(value_T), ratio_T, results.criterion.ratio_band) for ratio_T in ratio_QT]


def _predicted(log_value_T: Array, ratio_T: Array, band: float) -> Predicted | None:
    if np.isnan(ratio_T).all():  # an activation that theory does not know here
        return None
    inside = np.flatnonzero(np.abs(ratio_T) < band)
    low, high = (_crossing(log_value_T, ratio_T, edge) for edge in (-band, band))
    return Predicted(low, high, found=len(inside) > 0 or (low is not None and high is not None))


def _crossing(log_value_T: Array, ratio_T: Array, edge: float) -> float | None:
    """Where R first rises through an edge; None if it does not within the line."""
    above_T = ratio_T >= edge
    rising = np.flatnonzero(~above_T[:-1] & above_T[1:])
    if len(rising) == 0:
        return None
    first = int(rising[0])
    share = (edge - ratio_T[first]) / (ratio_T[first + 1] - ratio_T[first])
    return math.exp(float(log_value_T[first] + share * (log_value_T[first + 1] - log_value_T[first])))
