"""The colours of decades: the same everywhere, so that pictures of different trials can be compared by eye."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from gradstab.display.colours import NOT_MEASURED, VERDICT_COLOURS

FULL_DECADES = 5.0  # where a colour is at its strongest
_STEPS = 111  # of strength from 0 to an end; no eye tells two of them apart, and they leave room in a palette of 256


def decade_colours(value_N: NDArray[np.floating]) -> NDArray[np.uint8]:
    """From blue (far below 0) through white to vermilion (far above), as three bytes each; grey where NaN."""
    return np.asarray(decade_palette()[decade_levels(value_N)])


def decade_levels(value_N: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Which colour of the palette each value has."""
    share_N = np.clip(value_N / FULL_DECADES, -1, 1)
    strength_N = np.copysign(np.sqrt(np.abs(share_N)), share_N)  # a decade must be seen
    return np.where(np.isnan(strength_N), 2 * _STEPS + 1, np.rint(_STEPS * (1 + strength_N))).astype(np.uint8)


@cache
def decade_palette() -> NDArray[np.uint8]:
    """The colours from the lowest decade to the highest, and that of NaN; shape (levels, 3)."""
    strength_N1 = np.linspace(-1, 1, 2 * _STEPS + 1)[:, None]
    mixed_N3 = 255 + (np.where(strength_N1 > 0, _UP, _DOWN) - 255) * np.abs(strength_N1)
    return np.asarray(np.vstack([mixed_N3.round(), _UNKNOWN]), dtype=np.uint8)


def _bytes(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour.removeprefix("#")))


_UP, _DOWN, _UNKNOWN = map(_bytes, (VERDICT_COLOURS["exploding"], VERDICT_COLOURS["vanishing"], NOT_MEASURED))
