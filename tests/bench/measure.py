"""What a section hands back: rows of repeated figures, ratios between figures of one round, and what is aimed at."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """How a figure stands against what is aimed at."""

    MET = "met"
    GOAL_MISSED = "goal missed"
    FLOOR_MISSED = "FLOOR MISSED"


@dataclass(frozen=True)
class Goal:
    """What a figure should reach, and the floor that it must not fall below (or the ceiling, where less is better).

    Attributes:
        floor: None where only a goal is set.
        at_most: whether less is better.
    """

    goal: float
    floor: float | None = None
    at_most: bool = False

    def verdict(self, value: float) -> Verdict:
        """How `value` stands; a value that is no number misses everything."""
        if self._reached(value, self.goal):
            return Verdict.MET
        if self.floor is None or self._reached(value, self.floor):
            return Verdict.GOAL_MISSED
        return Verdict.FLOOR_MISSED

    def shown(self, limit: float | None) -> str:
        """A goal or floor with its direction, as ">= 70"."""
        return "" if limit is None else f"{'<=' if self.at_most else '>='} {limit:g}"

    def _reached(self, value: float, limit: float) -> bool:
        return value <= limit if self.at_most else value >= limit


@dataclass(frozen=True)
class Row:
    """One figure, measured once a round.

    Attributes:
        ratios: to the figure named by `against`, round by round: what disturbs a round disturbs both.
        goal: what is aimed at for the median of the ratios, or of the values where there are no ratios. None where the
            row is there for information.
        note: how many trials, what was counted, what is included.
    """

    section: str
    name: str
    unit: str
    values: tuple[float, ...]
    ratios: tuple[float, ...] = ()
    against: str = ""
    goal: Goal | None = None
    note: str = ""

    def to(self, other: Row, goal: Goal | None = None, against: str = "") -> Row:
        """This row with its ratio to another of the same rounds."""
        ratios = tuple(mine / its for mine, its in zip(self.values, other.values, strict=True))
        return replace(self, ratios=ratios, against=against or other.name, goal=goal or self.goal)

    @property
    def verdict(self) -> Verdict | None:
        """How the median stands against the goal; None without a goal or a figure."""
        judged = self.ratios or self.values
        return self.goal.verdict(statistics.median(judged)) if self.goal is not None and judged else None

    def dump(self) -> dict[str, Any]:
        """The row as JSON stores it."""
        return asdict(self)

    @classmethod
    def load(cls, stored: dict[str, Any]) -> Row:
        """The row that `dump` stored."""
        goal = stored["goal"]
        lists = {name: tuple(stored[name]) for name in ("values", "ratios")}
        return cls(**{**stored, **lists, "goal": None if goal is None else Goal(**goal)})


def median_and_range(values: Sequence[float]) -> tuple[float, float, float]:
    """(median, smallest, largest)."""
    return statistics.median(values), min(values), max(values)
