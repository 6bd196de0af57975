"""Spans of an axis in words, the same on the page, in a notebook and in the terminal."""

from __future__ import annotations

from gradstab.display.numbers import interval_text, value_text
from gradstab.stability.spans import Span


def spans_text(found: tuple[Span, ...]) -> str:
    """Spans of an axis: `1.10 to 1.32`; an end beyond what was searched is left out."""
    if not found:
        return "none"
    return "; ".join(
        interval_text(span.low, span.high, low_open=span.low_open, high_open=span.high_open) for span in found
    )


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
