"""How far a study has come, as its run tells those who watch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from gradstab.loop.slot_board import Pace, SlotBoard
from gradstab.record.shipping_order import RegionSoFar


@runtime_checkable
class KnowsRegion(Protocol):
    """Optional capability of a `Searcher`: it models the region for its own use."""

    def region_so_far(self) -> RegionSoFar | None:
        """What that model says, without a new fit; None where this search needs none, or too few trials are known."""
        ...


@dataclass
class Progress:
    """How far a study has come.

    Attributes:
        total: the budget in trials.
        verdicts: finished trials by verdict.
        failed: the number of trials that the machine failed for good.
        in_flight: the numbers of the trials that train now.
        waiting: the number of recorded trials that MLflow does not have yet.
        new: the number of trials that this run has finished.
        underway: how many trials more the finished parts of running packs come to.
        share: of the study's work that is done, from 0 to 1. Trials differ in cost, so it is not that of the trials.
        seconds: since this run began.
        seconds_left: until the study has ended at the rate so far; None while that is unknown.
        region: what the search's own model says of the region; None where the search has none.
        slots: what every slot does.
    """

    total: int
    verdicts: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    in_flight: tuple[int, ...] = ()
    waiting: int = 0
    new: int = 0
    underway: float = 0.0
    share: float = 0.0
    seconds: float = 0.0
    seconds_left: float | None = None
    region: RegionSoFar | None = None
    slots: SlotBoard = field(default_factory=SlotBoard)

    @property
    def done(self) -> int:
        return sum(self.verdicts.values()) + self.failed

    @property
    def rate(self) -> float:
        """Trials a second of this run, those underway in part included."""
        return (self.new + self.underway) / self.seconds if self.seconds > 0 else 0.0

    @property
    def pace(self) -> Pace:
        """What `gradstab status` shows while the study runs."""
        return Pace(self.share, self.rate, self.seconds_left)
