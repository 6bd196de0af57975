"""How numbers, axis values, durations and sizes are written wherever the user reads them."""

from __future__ import annotations

import math

from gradstab.study.space import Value


def duration(seconds: float) -> str:
    """Seconds as 1:05 or 2:03:10."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def size(num_bytes: float) -> str:
    """Bytes as 12 kB, 3.4 MB, 1.2 GB."""
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} GB"


def shown(value: Value | None) -> str:
    """A value as a person reads it: three digits of a number, words as they are."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
        text = f"{value:.{digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.2e}"


def named(name: str, value: Value) -> str:
    """A value with its axis, which words do not need."""
    return value if isinstance(value, str) else f"{name.replace('_', ' ')} {shown(value)}"
