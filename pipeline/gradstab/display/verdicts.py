"""What verdicts are called where people read them. On record, in tags, columns and JSON they keep their own names."""

from __future__ import annotations

from gradstab.display.numbers import name_text

WORDS = {"trained_off_phase": "trained anyway"}


def verdict_text(verdict: str) -> str:
    """A verdict in words, also `failed`, and the side of a band where one response alone judges a trial."""
    return WORDS.get(verdict, name_text(verdict))
