"""Tick marks of an axis in unit coordinates: round numbers where they lie as it is searched."""

from __future__ import annotations

import math

import numpy as np

from gradstab.display.numbers import shown
from gradstab.regression.coordinates import Coordinates
from gradstab.study.space import Choice, Integer, LogInteger, LogReal

_MOST = 7
_STEPS = {1: (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), 2: (1, 2, 5), 3: (1, 3), 4: (1,)}


def ticks(coordinates: Coordinates, name: str) -> tuple[list[float], list[str]]:
    """Places and labels of at most seven round values of a numeric axis."""
    axis = coordinates.space.axes[name]
    assert not isinstance(axis, Choice)
    low, high = float(axis.low), float(axis.high)
    values = _of_logarithm(low, high) if isinstance(axis, LogReal | LogInteger) else _of_line(low, high)
    if isinstance(axis, Integer | LogInteger):
        values = sorted({round(value) for value in values if round(value) == value})
    column = coordinates.names.index(name)
    unit = [float(coordinates.with_axis(np.zeros(coordinates.num_axes), {name: v})[column]) for v in values]
    return unit, [shown(value) for value in values]


def _of_logarithm(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas in _STEPS.values():
        found = [
            m * 10.0**d for d in decades for m in mantissas if low <= m * 10.0**d * (1 + 1e-9) <= high * (1 + 1e-9)
        ]
        if len(found) <= _MOST:
            break
    if len(found) < 2:
        return [low, math.sqrt(low * high), high]
    return [float(f"{value:.6g}") for value in found]


def _of_line(low: float, high: float) -> list[float]:
    raw = (high - low) / _MOST
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= raw)
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    return [float(f"{(first + k) * step:.6g}") for k in range(count)]
