"""Numbers as MLflow has them: with fewer digits than the record, which the pages there would show in full."""

from __future__ import annotations

SHOWN_DIGITS = 3  # of the numbers of a trial that tables in MLflow show
_LARGE = 1e6  # up to here integers are counts, with all their digits


def rounded(value: float, digits: int = 6) -> float:
    """So many digits, and all of an integer: the UI shows all sixteen otherwise."""
    return value if value.is_integer() and abs(value) < _LARGE else float(f"{value:.{digits}g}")
