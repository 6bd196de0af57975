"""Spans of an axis in words, in sentences and in tables: the same on the page, in a notebook and in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from gradstab.display.numbers import interval_text, percent_text, value_text
from gradstab.stability.spans import Span
from gradstab.study.axes import Value


def spans_text(found: tuple[Span, ...]) -> str:
    """Spans of an axis: `1.10 to 1.32`; an end beyond what was searched is left out."""
    if not found:
        return "none"
    return "; ".join(map(_interval, found))


def span_phrase(span: Span) -> str:
    """Where something holds: `from 0.92 to 2.3`, `up to 2.3`, `wherever it was searched, 0.1 to 10`."""
    if span.low_open and span.high_open:
        return f"wherever it was searched, {value_text(span.low)} to {value_text(span.high)}"
    return _interval(span) if span.low_open or span.high_open else f"from {_interval(span)}"


def short_spans_text(spans: Sequence[Span]) -> str:
    """`1.18-1.73 or from 2.5 on`; an end that the search did not reach is left out."""
    return " or ".join(map(_short, spans))


def is_whole(spans: Sequence[Span]) -> bool:
    """Whether spans hold all that was searched."""
    return all(span.low_open and span.high_open for span in spans)


def best_phrase(value: Value, p_best: float) -> str:
    """The best of an axis, where nothing is safe: `1.3 is best, where 40 % of trainings succeed`."""
    return f"{value_text(value)} is best, where {percent_text(p_best)} of trainings succeed"


def edge_ranges_text(span: Span) -> str:
    """Where each edge lies with probability .9: `1.08\u20131.12, 1.24\u20131.37`."""
    parts = []
    for between in (span.low_between, span.high_between):
        if between is None:
            parts.append("open")
            continue
        ends = sorted((end for end in between if isinstance(end, int | float)), key=float)
        parts.append("\N{EN DASH}".join(value_text(end) for end in ends) if len(ends) == 2 else "unsure")
    return ", ".join(parts)


def _interval(span: Span) -> str:
    return interval_text(span.low, span.high, low_open=span.low_open, high_open=span.high_open)


def _short(span: Span) -> str:
    if span.high_open:
        return f"from {value_text(span.low)} on"
    if span.low_open:
        return f"up to {value_text(span.high)}"
    between = "-" if isinstance(span.low, int | float) and span.low >= 0 else " to "
    return f"{value_text(span.low)}{between}{value_text(span.high)}"
