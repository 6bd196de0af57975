"""How numbers, axis values, ranges, durations and sizes are written wherever the user reads them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from gradstab.study.axes import Value

_ROUNDING = 1e-9  # lengths below it are rounding errors of a fixed point at 0
_MOST_NUMBERS = 8  # of trials that are named one by one
WHOLE_SEARCH = "everywhere"  # that was searched


def duration_text(seconds: float) -> str:
    """Seconds as 1:05 or 2:03:10."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def size_text(num_bytes: float) -> str:
    """Bytes as 12 kB, 3.4 MB, 1.2 GB."""
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} GB"


def percent_text(fraction: float) -> str:
    """A fraction in per cent: whole from 10 % on, one digit below, `< .1 %` for the smallest."""
    per_cent = 100 * fraction
    if per_cent == 0 or per_cent >= 10:
        return f"{per_cent:.0f} %"
    return f"{per_cent:.1f} %" if per_cent >= 0.1 else "< .1 %"


def signed_percent_text(fraction: float) -> str:
    """A difference of fractions in per cent, with its sign."""
    return f"{100 * fraction:+.1f} %"


def percent_range_text(estimate: float, low: float, high: float) -> str:
    """A fraction with its interval: `12 % (9.8 % to 14 %)`."""
    return f"{percent_text(estimate)} ({percent_text(low)} to {percent_text(high)})"


def value_text(value: Value | None) -> str:
    """A value in a table or a list: three digits of a number, true or false as study files spell it, words as they are.

    In a sentence, behind its name, a switch is on or off: see `named_value_text`.
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | str):
        return str(value)
    if not math.isfinite(value):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
        text = f"{value:.{digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.2e}"


def setting_text(value: Value | None) -> str:
    """A setting as MLflow stores and finds it: four digits, `true` or `false`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def cell_text(value: object) -> str:
    """A cell of a table in the terminal: four digits of a number, true or false, nothing for None."""
    if isinstance(value, bool):
        return value_text(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def interval_text(low: Value | None, high: Value | None, *, low_open: bool, high_open: bool) -> str:
    """An interval of an axis; an end that the search did not reach is left out: `up to 1.32`."""
    if low_open and high_open:
        return WHOLE_SEARCH
    if low_open:
        return f"up to {value_text(high)}"
    if high_open:
        return f"from {value_text(low)}"
    return f"{value_text(low)} to {value_text(high)}"


def count_range_text(low: int, high: int) -> str:
    """Whole numbers from low to high: `4-7`, or `4` where both are one."""
    return str(low) if low == high else f"{low}-{high}"


def numbers_text(numbers: Iterable[int]) -> str:
    """Whole numbers in order, runs as ranges: `3, 7-9` for 3, 7, 8, 9."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(count_range_text(low, high) for low, high in runs)


def numbered_text(numbers: Sequence[int]) -> str:
    """How many trials, and the first numbers of them: `12: 3, 5, ...`; nothing for none."""
    if not numbers:
        return ""
    first = ", ".join(map(str, numbers[:_MOST_NUMBERS]))
    return f"{len(numbers)}: {first}{' ...' if len(numbers) > _MOST_NUMBERS else ''}"


def length_text(length: float) -> str:
    """A length of mean-field theory in four digits; rounding errors are 0."""
    return "infinity" if math.isinf(length) else "0" if length < _ROUNDING else f"{length:.4g}"


def name_text(name: str) -> str:
    """The name of an axis in words."""
    return name.replace("_", " ")


def named_value_text(name: str, value: Value) -> str:
    """A value with its axis, as a sentence says it; a word needs no axis: `depth 10`, `clip on`, `relu`."""
    return value if isinstance(value, str) else _behind_its_name(name, value)


def point_text(point: Mapping[str, Value]) -> str:
    """Values by axis, as a sentence says them: `depth 10, clip on, activation relu`."""
    return ", ".join(_behind_its_name(name, value) for name, value in point.items())


def worded_value_text(value: Value) -> str:
    """A value in a sentence that has named its axis: a switch is on or off."""
    return ("on" if value else "off") if isinstance(value, bool) else value_text(value)


def _behind_its_name(name: str, value: Value) -> str:
    return f"{name_text(name)} {worded_value_text(value)}"


def counted(number: int, thing: str) -> str:
    """A number of things: `1 trial`, `2 trials`, `2 studies`."""
    if number == 1:
        return f"1 {thing}"
    return f"{number} {thing[:-1]}ies" if thing.endswith("y") else f"{number} {thing}s"
