"""Which colour a value has in a map of layers over steps: one fixed scale for each kind of statistic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL.ImageColor import getrgb

from gradstab.display.colours import NOT_MEASURED
from gradstab.display.decades import FULL_DECADES, decade_levels, decade_palette
from gradstab.record.trajectory import FloatArray

_NUM_COLOURS = 223  # as many as decades have: with that of NaN they leave room in a palette of 256
_NUM_IN_BAR = 257  # odd: 0 of decades has its own
_MOST_TICKS = 6
_MINUS = "\N{MINUS SIGN}"
_INNER_DECADES = (-3.0, -1.0, 0.0, 1.0, 3.0)


class BarTick(NamedTuple):
    """A value that is named beside a colour bar."""

    value: float
    text: str


@dataclass(frozen=True)
class ColourScale:
    """The values of the first and the last colour; what lies beyond has the colour of that end.

    Attributes:
        is_of_decades: whether the colours are those of decades, white at 0; else they run from dark to bright.
    """

    low: float
    high: float
    is_of_decades: bool = False

    @property
    def palette(self) -> NDArray[np.uint8]:
        """All colours from low to high, then that of what was not measured; shape (levels, 3)."""
        return decade_palette() if self.is_of_decades else _sequence()

    def levels(self, value_N: FloatArray) -> NDArray[np.uint8]:
        """Which colour of the palette each value has."""
        if self.is_of_decades:
            return decade_levels(value_N)
        # overflow and exact zeros are drawn at the ends of the scale
        place_N = np.clip((value_N - self.low) / (self.high - self.low), 0, 1) * (_NUM_COLOURS - 1)
        return np.where(np.isnan(place_N), _NUM_COLOURS, np.rint(place_N)).astype(np.uint8)

    def bar_levels(self) -> NDArray[np.uint8]:
        """Which colours a bar has from low to high."""
        return self.levels(np.linspace(self.low, self.high, _NUM_IN_BAR))

    def bar(self) -> NDArray[np.uint8]:
        """The colours of a bar from low to high, as three bytes each."""
        return np.asarray(self.palette[self.bar_levels()])

    def ticks(self) -> list[BarTick]:
        """The values beside a bar; the ends of decades say that they stand for all beyond them."""
        if self.is_of_decades:
            inner = [BarTick(value, f"{value:+.0f}".replace("-", _MINUS) if value else "0") for value in _INNER_DECADES]
            least = BarTick(self.low, f"\N{LESS-THAN OR EQUAL TO}{_MINUS}{-self.low:.0f}")
            most = BarTick(self.high, f"\N{GREATER-THAN OR EQUAL TO}+{self.high:.0f}")
            return [least, *inner, most]
        located = MaxNLocator(_MOST_TICKS, steps=[1, 2, 5, 10]).tick_values(self.low, self.high)
        values = [value for value in map(float, located) if self.low <= value <= self.high]
        step = min((after - value for value, after in pairwise(values)), default=1.0)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return [BarTick(value, f"{value + 0.0:.{digits}f}".replace("-", _MINUS)) for value in values]


DECADES = ColourScale(-FULL_DECADES, FULL_DECADES, is_of_decades=True)
FRACTIONS = ColourScale(0.0, 1.0)


def own_scale(value_N: FloatArray) -> ColourScale:
    """The scale of a statistic that has no natural one: from the least to the greatest of the values at hand."""
    finite = value_N[np.isfinite(value_N)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return ColourScale(low, high if high > low else low + 1.0)


@cache
def _sequence() -> NDArray[np.uint8]:
    colour_N3 = matplotlib.colormaps["viridis"](np.linspace(0, 1, _NUM_COLOURS), bytes=True)[:, :3]
    return np.vstack([colour_N3, np.array(getrgb(NOT_MEASURED), dtype=np.uint8)])
