"""The ports of the loop: what proposes points, what runs packs, what the executor is handed, what is told of results.

The loop (runner.py) knows these shapes and none of the packages behind them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from gradstab.loop.trial import Trial
from gradstab.record.certificate import Certificate
from gradstab.record.failure import Failure
from gradstab.record.trajectory import Trajectory
from gradstab.study.space import Value

Kind = Literal["cpu", "cuda"]
KINDS: tuple[Kind, ...] = ("cpu", "cuda")
Device = Literal["cpu", "gpu", "any"]


@dataclass(frozen=True)
class Slot:
    """A place where one pack trains at a time: some CPU threads, or a share of a GPU.

    Attributes:
        name: its own, among all slots of a run.
        node: the machine it is on, for people.
    """

    name: str
    kind: Kind = "cpu"
    threads: int = 1
    node: str = ""


class Work(Protocol):
    """What a worker does with a pack. Training is one; tests plant others. Must be picklable."""

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        """One trajectory per trial, in order.

        An exception or the death of the process is a machine's failure, except a GradstabError: that is a person's to
        mend, and ends the run.
        """
        ...


@runtime_checkable
class SupportsWarmUp(Protocol):
    """Work that takes seconds before its first pack, which a worker may spend while there is no pack yet."""

    def warm_up(self) -> None:
        """Load what every pack needs, once a process; `run` does it too where nobody did before."""
        ...


@runtime_checkable
class ChecksSlots(Protocol):
    """Work that not every slot is good for, and that can tell before its first pack."""

    def why_unusable(self, slot: Slot) -> str | None:
        """What keeps this process from working on the slot, in a few words; None where nothing does."""
        ...


@dataclass(frozen=True)
class PackResult:
    """How a pack ended: with trajectories, or with the reason why the machine failed."""

    trials: tuple[Trial, ...]
    slot: Slot
    started_ms: int
    finished_ms: int
    trajectories: list[Trajectory] | None = None
    failure: Failure | None = None


class NoIdleSlotError(RuntimeError):
    """A pack was submitted, or the next slot was asked for, while all slots are taken."""

    def __init__(self) -> None:
        super().__init__("all slots are taken: call wait before the next submit")


class Executor(Protocol):
    """Runs packs on slots, which may come and go. Never more packs in flight than slots."""

    @property
    def slots(self) -> Sequence[Slot]: ...

    def idle(self) -> int:
        """How many packs may be submitted now."""
        ...

    def next_slot(self) -> Slot:
        """The idle slot that the next pack will run on."""
        ...

    def submit(self, trials: Sequence[Trial], seconds: float = math.inf) -> None:
        """Start a pack on that slot; where the executor can, a pack that has not ended after `seconds` has failed."""
        ...

    def wait(self, timeout: float) -> list[PackResult]:
        """Packs that ended: as soon as there is one, or none after `timeout` seconds.

        Raises:
            GradstabError: the work raised it: a person must mend something (data that is not there), and trying the
                pack again would not help. The loop ends, and the pack's trials are run by the next one.
        """
        ...

    def close(self) -> None:
        """Stop at once; packs in flight are abandoned."""
        ...


@dataclass(frozen=True)
class Proposal:
    """A point that a searcher wants tried, under the number it has in storage."""

    number: int
    point: dict[str, Value]
    retry_of: int | None = None


@dataclass(frozen=True)
class TrialValue:
    """What storage is told of a finished trial: the margin to maximise and short attributes beside it."""

    number: int
    margin: float
    attributes: dict[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class SearchState:
    """Where a stored study stands: numbers whose result is told (or failed), those still running, and of which failed
    number each retry is one."""

    told: frozenset[int]
    failed: frozenset[int]
    running: tuple[Proposal, ...]
    retries: Mapping[int, int] = field(default_factory=dict)


class Searcher(Protocol):
    """Proposes points and is told results; the only writer of the search storage."""

    def state(self) -> SearchState:
        """What storage holds now; running trials come with their complete point."""
        ...

    def proposal(self, number: int) -> Proposal:
        """The point that storage holds under a number, finished or not."""
        ...

    def ask(self, count: int) -> list[Proposal]:
        """`count` new trials, numbered consecutively."""
        ...

    def ask_again(self, numbers: Sequence[int]) -> list[Proposal]:
        """New trials at the points of failed ones, under new numbers; those that were asked for again before do not
        count twice. Returns the ones that run."""
        ...

    def restore(self, points: Mapping[int, dict[str, Value]], retries: Mapping[int, int]) -> None:
        """Create again, running, what storage lost: every number from its first missing one to the largest given.

        Numbers between them that are not given get a proposal of the sampler.
        """
        ...

    def tell(self, telling: TrialValue) -> None:
        """Complete a running trial. TrialValue a finished one again does nothing."""
        ...

    def tell_failure(self, number: int, reason: str) -> None:
        """End a running trial as FAIL. TrialValue a finished one again does nothing."""
        ...

    def certificate(self) -> Certificate | None:
        """Where the study stands against its stop, by what storage was told; None where it has none."""
        ...

    def batched_tells(self) -> AbstractContextManager[None]:
        """Tell different trials within: they may reach storage at the end only, in one write. Ask for none within."""
        ...

    def close(self) -> None:
        """Let go of storage."""
        ...


class Tracker(Protocol):
    """Is told that records are durable and sends them on in the background; may lag, die and be started again."""

    def notify(self) -> None:
        """New records, or a new state of the study, are in the results folder."""
        ...

    def waiting(self) -> int:
        """How many recorded trials have not been sent yet."""
        ...

    def last_error(self) -> str | None:
        """One sentence on what is in the way, or None."""
        ...

    def close(self, patience: float) -> int:
        """Give the rest up to `patience` seconds without progress; how many trials still wait."""
        ...
