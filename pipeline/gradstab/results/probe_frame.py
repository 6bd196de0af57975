"""What a probe measured as a DataFrame."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from gradstab.probing.profiles import Series


def probe_frame(series: Sequence[Series]) -> pd.DataFrame:
    """One row a position of every series, positions counted from 1."""
    rows = [
        (one.name, one.axis, one.judged, place + 1, tap, one.whole[place], *numbers)
        for one in series
        for place, (tap, *numbers) in enumerate(
            zip(one.taps, one.log10_delta_norm_L, one.log10_delta_max_L, one.dead_L, one.saturated_L, strict=True)
        )
    ]
    columns = [
        "series", "axis", "judged", "position", "tap", "whole",
        "log10_delta_norm", "log10_delta_max", "dead_fraction", "saturated_fraction",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)
