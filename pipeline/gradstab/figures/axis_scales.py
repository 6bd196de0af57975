"""The axes of a figure in the values of a study's axes: scale, limits, ticks and labels.

Axes: N places.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.ticker import FuncFormatter, Locator, LogLocator, MaxNLocator, NullFormatter, NullLocator
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
_LONGEST_TICK = 6  # letters
# what a tick's text takes of a small panel: a line of its height, a letter of its width, and the gap between two texts
_LINE, _LETTER, _GAP = 0.07, 0.03, 0.02
_ROUNDING = 1e-9


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
    """Give one direction of a plot the scale, the limits and the ticks of an axis; its ends are among the ticks."""
    low, high = value_at(axis, [0, 1]).tolist()
    if axis.is_log:
        axes.set(**{f"{direction}scale": "log"})
    axes.set(**{f"{direction}lim": (low, high)})
    ticks = axes.xaxis if direction == "x" else axes.yaxis
    set_round_ticks(ticks, is_log=axis.is_log, is_whole=axis.is_whole, ends=(float(axis.low), float(axis.high)))


def set_round_ticks(ticks: Axis, *, is_log: bool, is_whole: bool, ends: Sequence[float] = ()) -> None:
    """Round values as ticks, written as plain numbers, with the given ends among them.

    Args:
        ends: values that are named although they need not be round.
    """
    ticks.set_major_locator(
        _RoundLocator(is_log=is_log, is_whole=is_whole, ends=ends, is_wide=isinstance(ticks, XAxis))
    )
    ticks.set_major_formatter(FuncFormatter(lambda value, _: _tick_text(value, ends)))
    ticks.set_minor_locator(NullLocator())
    ticks.set_minor_formatter(NullFormatter())


def layer_ticks(num_layers: int) -> list[int]:
    """The layers that are named along an axis of layers: the first, the last, and round ones between."""
    ends = {1, num_layers}
    inner = MaxNLocator(_MOST_TICKS, steps=_STEPS, integer=True).tick_values(1, num_layers)
    between = [layer for layer in map(round, inner) if 1 < layer < num_layers]
    return [round(layer) for layer in _without_overlap(between, ends, lambda x: x / num_layers, lambda _: _LINE / 2)]


def spread(count: int, most: int) -> list[int]:
    """At most so many indices of a list, evenly spread, the first and the last among them."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, most))})


def _tick_text(value: float, ends: Sequence[float]) -> str:
    """A tick as a plain number; an end need not be round, and has three digits, because there is no room for more."""
    text = f"{value:.6g}"
    return f"{value:.3g}" if len(text) > _LONGEST_TICK and any(math.isclose(value, end) for end in ends) else text


def _without_overlap(
    places: Iterable[float],
    ends: Iterable[float],
    place_of: Callable[[float], float],
    room_of: Callable[[float], float],
) -> list[float]:
    """The ends, and as many of the values between them as have room, from the lowest on.

    Args:
        place_of: where a value lies, as a fraction of what is shown.
        room_of: how far its text reaches to each side, in the same unit.
    """
    kept = list(ends)
    for place in places:
        if all(abs(place_of(place) - place_of(other)) >= room_of(place) + room_of(other) for other in kept):
            kept.append(place)
    return sorted(kept)


class _RoundLocator(Locator):
    """At most seven round values and the ends of the axis, also where the user has zoomed in to less than a decade."""

    def __init__(self, *, is_log: bool, is_whole: bool, ends: Sequence[float], is_wide: bool) -> None:
        self._is_log, self._is_whole, self._is_wide = is_log, is_whole, is_wide
        self._ends = ends
        self._even = MaxNLocator(_MOST_TICKS, steps=_STEPS, integer=is_whole)
        self._decades = LogLocator(subs=(1.0,), numticks=_MOST_TICKS)

    def __call__(self) -> Sequence[float]:
        assert self.axis is not None
        return self.tick_values(*self.axis.get_view_interval())

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        low, high = sorted((vmin, vmax))
        even = math.log if self._is_log else float
        span = even(high) - even(low)

        def place_of(value: float) -> float:
            return (even(value) - even(low)) / span

        ends = [end for end in self._ends if -_ROUNDING <= place_of(end) <= 1 + _ROUNDING]
        found = self._round_on_log(low, high, ends) if self._is_log else self._even.tick_values(low, high)
        return _without_overlap([value for value in found if low <= value <= high], ends, place_of, self._room_of)

    def _room_of(self, value: float) -> float:
        """Half of what the text takes: a line's height, or the width of its letters, in the smallest panel."""
        return (_GAP + _LETTER * len(_tick_text(value, self._ends))) / 2 if self._is_wide else _LINE / 2

    def _round_on_log(self, low: float, high: float, ends: Sequence[float]) -> Sequence[float]:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for mantissas in _MANTISSAS:
            places = [float(f"{mantissa}e{decade}") for decade in decades for mantissa in mantissas]
            found = [place for place in places if low <= place <= high and not (self._is_whole and place % 1)]
            if len(found) <= _MOST_TICKS:
                return found if len(found) > 1 else self._even.tick_values(low, high)
            if mantissas is _MANTISSAS[0] and (doubled := _doublings(ends)):
                return doubled
        return self._decades.tick_values(low, high)


def _doublings(ends: Sequence[float]) -> list[float]:
    """2, 4, 8, 16, 32 for the ends 2 and 32; nothing where the upper end is no such multiple of the lower one."""
    if len(ends) < 2:
        return []
    low, high = ends
    count = math.log2(high / low)
    return [low * 2**index for index in range(round(count) + 1)] if count.is_integer() and count < _MOST_TICKS else []
