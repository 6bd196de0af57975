"""The colours of decades: the same everywhere, so that pictures of different trials can be compared by eye."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradstab.display.colours import NOT_MEASURED, VERDICT_COLOURS

FULL_DECADES = 5.0  # where a colour is at its strongest


def decade_colours(value_N: NDArray[np.floating]) -> NDArray[np.uint8]:
    """From blue (far below 0) through white to vermilion (far above), as three bytes each; grey where NaN."""
    share_N = np.clip(value_N / FULL_DECADES, -1, 1)
    end_N3 = np.where((share_N > 0)[..., None], _UP, _DOWN)
    strength_N1 = np.sqrt(np.abs(np.nan_to_num(share_N)))[..., None]  # a decade must be seen
    mixed_N3 = 255 + (end_N3 - 255) * strength_N1
    mixed_N3[np.isnan(value_N)] = _UNKNOWN
    return np.asarray(mixed_N3.round(), dtype=np.uint8)


def _bytes(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour.removeprefix("#")))


_UP, _DOWN, _UNKNOWN = map(_bytes, (VERDICT_COLOURS["exploding"], VERDICT_COLOURS["vanishing"], NOT_MEASURED))
