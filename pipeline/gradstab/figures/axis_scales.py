"""The axes of a figure in the values of a study's axes: scale, limits, ticks and labels.

Axes: N places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import ArrayLike

from gradstab.regression.coordinates import Array, Coordinates
from gradstab.stability.phase_diagram import Plane
from gradstab.study.axes import Integer, LogInteger, LogReal, Real

NumericAxis = Real | LogReal | Integer | LogInteger

_AXIS_NAMES = {
    "init_scale": r"init scale $\sigma_w$",
    "relative_init_scale": r"init scale / critical $\sigma_w$",
    "bias_scale": r"bias scale $\sigma_b$",
    "depth": "hidden layers",
    "weight_scale": "weight scale",
    "residual_scale": "residual scale",
    "width": "units a layer",
    "learning_rate": "learning rate",
    "warmup_steps": "warm-up steps",
    "clip_threshold": "clip threshold",
}
_MOST_TICKS = 7
_STEPS = (1, 2, 5, 10)
_MANTISSAS = ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3), (1,))


def axis_name(name: str, *, of_modules: bool) -> str:
    """What an axis is called in a figure; what a module is `depth` times is for its builder to say."""
    return "depth" if of_modules and name == "depth" else _AXIS_NAMES.get(name, name)


def value_at(axis: NumericAxis, unit_N: ArrayLike) -> Array:
    """The values of an axis at unit coordinates, not rounded: an integer reaches half a unit to both sides."""
    low, high = axis.ends()
    place_N = low + np.asarray(unit_N, dtype=np.float64) * (high - low)
    return np.exp(place_N) if axis.is_log else place_N


def numeric_axis(coordinates: Coordinates, name: str) -> NumericAxis:
    """An axis that is drawn along one direction of a figure."""
    axis = coordinates.space.axes[name]
    assert isinstance(axis, NumericAxis)
    return axis


def curve_values(plane: Plane, unit_K2: Array) -> Array:
    """The points of a curve in the values of a plane's axes, shape (K, 2)."""
    return np.stack(
        [
            value_at(numeric_axis(plane.coordinates, name), unit_K2[:, column])
            for column, name in enumerate((plane.x, plane.y))
        ],
        axis=1,
    )


def show_axis(axes: Axes, direction: Literal["x", "y"], axis: NumericAxis) -> None:
    """Give one direction of a plot the scale, the limits and the ticks of an axis."""
    low, high = value_at(axis, [0, 1]).tolist()
    if axis.is_log:
        axes.set(**{f"{direction}scale": "log"})
    axes.set(**{f"{direction}lim": (low, high)})
    set_round_ticks(axes.xaxis if direction == "x" else axes.yaxis, is_log=axis.is_log, is_whole=axis.is_whole)


def set_round_ticks(ticks: Axis, *, is_log: bool, is_whole: bool) -> None:
    """Round values as ticks, written as plain numbers."""
    if is_log:
        ticks.set_major_locator(_RoundLogLocator(whole=is_whole))
    else:
        ticks.set_major_locator(MaxNLocator(_MOST_TICKS, steps=_STEPS, integer=is_whole))
    ticks.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
    ticks.set_minor_locator(NullLocator())
    ticks.set_minor_formatter(NullFormatter())


class _RoundLogLocator(LogLocator):
    """At most seven round values of a log axis, also where the user has zoomed in to less than a decade."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__(subs=(1.0,))
        self._whole = whole
        self._even = MaxNLocator(_MOST_TICKS, steps=_STEPS, integer=whole)

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        low, high = sorted((vmin, vmax))
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for mantissas in _MANTISSAS:
            places = [float(f"{mantissa}e{decade}") for decade in decades for mantissa in mantissas]
            found = [place for place in places if low <= place <= high and not (self._whole and place % 1)]
            if len(found) <= _MOST_TICKS:
                return found if len(found) > 1 else self._even.tick_values(low, high)
        return super().tick_values(low, high)
