"""What a section hands back: rows of repeated figures, and ratios between figures of the same round."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure, measured once a round.

    Attributes:
        ratios: to the figure named by `against`, round by round: what disturbs a round disturbs both.
        goal: what is aimed at, in words; empty where the row is there for information.
        note: how many trials, what was counted, what is included.
    """

    section: str
    name: str
    unit: str
    values: tuple[float, ...]
    ratios: tuple[float, ...] = ()
    against: str = ""
    goal: str = ""
    note: str = ""

    def to(self, other: Row, goal: str = "", against: str = "") -> Row:
        """This row with its ratio to another of the same rounds."""
        ratios = tuple(mine / its for mine, its in zip(self.values, other.values, strict=True))
        return Row(
            self.section, self.name, self.unit, self.values, ratios, against or other.name, goal or self.goal, self.note
        )


def median_and_range(values: Sequence[float]) -> tuple[float, float, float]:
    """(median, smallest, largest)."""
    return statistics.median(values), min(values), max(values)
