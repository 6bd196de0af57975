"""The ports of the loop: the searcher proposes points, the executor runs packs of work, the tracker ships results.

The loop (runner.py) knows these interfaces and none of the packages behind them.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from gradstab.loop.trial import Trial
from gradstab.record.certificate import Certificate
from gradstab.record.failure import Failure
from gradstab.record.trajectory import Trajectory
from gradstab.study.axes import Value

Kind = Literal["cpu", "cuda"]
KINDS: tuple[Kind, ...] = ("cpu", "cuda")
Device = Literal["cpu", "gpu", "any"]


@dataclass(frozen=True)
class Slot:
    """A place where one pack trains at a time: one CPU thread, or a share of a GPU.

    Attributes:
        name: unique among the slots of a run.
        node: the name of its machine, for the user.
        memory: the bytes that one pack may take there: on the GPU of a GPU slot, on the node of a CPU slot. None where
            nobody measured them.
    """

    name: str
    kind: Kind = "cpu"
    node: str = ""
    memory: int | None = field(default=None, compare=False)


# how a trial ended: a failure is that of the user's program at this trial, which trying again would repeat
Outcome = Trajectory | Failure


class Work(Protocol):
    """What a worker does with a pack: training, or what a test puts in its place. It must be picklable."""

    def run(self, trials: Sequence[Trial], slot: Slot) -> Sequence[Outcome]:
        """One trajectory per trial, in order, or the failure of that trial alone.

        An exception or the death of the process counts as a failure of the machine. A GradstabError does not: it names
        what the user must repair, and ends the run.
        """
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """How far a pack is after one of its steps.

    Attributes:
        done: the share of the pack's work that is done, from 0 to 1.
        until: the share at which the next trajectories will be there.
        ended: what this step completed, by the position of its trial in the pack: a trajectory, or the failure of that
            trial alone.
    """

    done: float
    until: float = 1.0
    ended: Mapping[int, Outcome] = field(default_factory=dict)


@runtime_checkable
class RunsInSteps(Protocol):
    """Optional capability of a `Work`: runs a pack step by step, so that others see how far it is and can end it early.

    A step is short: many of them make a pack.
    """

    def run_in_steps(self, trials: Sequence[Trial], slot: Slot) -> Generator[Step, None, None]:
        """Work as `run` does, up to the end of a step each time; the trajectory of every trial comes once.

        The caller may close the generator after any step. Trials without a trajectory were then trained for nothing.
        """
        ...


@runtime_checkable
class SupportsWarmUp(Protocol):
    """Optional capability of a `Work`: does before its first pack what would otherwise delay that by seconds."""

    def warm_up(self) -> None:
        """Load what every pack needs, once in a process; `run` does so too where this was not called."""
        ...


@runtime_checkable
class ChecksSlots(Protocol):
    """Optional capability of a `Work`: says, before its first pack, whether it can run on a given slot."""

    def why_unusable(self, slot: Slot) -> str | None:
        """The reason why this process cannot work on the slot, in a few words, or None."""
        ...


@runtime_checkable
class MeasuresMemory(Protocol):
    """Optional capability of a `Work`: says how much memory its packs find free on a given slot."""

    def free_bytes(self, slot: Slot) -> int:
        """The free memory of the slot's device, seen from this process: the GPU's, or that of the node."""
        ...


@dataclass(frozen=True)
class PackResult:
    """How a pack ended: with a trajectory for each trial, or with the failure of its machine.

    Attributes:
        trials: the trials that ended; with a failure, all trials of the pack.
        outcomes: one for each of those trials, in order; None with a failure.
        busy_seconds: the time that the slot itself worked on the pack, which its neighbours' load does not change:
            CPU seconds on a CPU. None where only the wall clock is known, as on a GPU.
        given_back: the other trials of the pack, which did not end because the executor was asked to drain. They are as
            if they had never been submitted.
    """

    trials: tuple[Trial, ...]
    slot: Slot
    started_ms: int
    finished_ms: int
    outcomes: Sequence[Outcome] | None = None
    failure: Failure | None = None
    busy_seconds: float | None = None
    given_back: tuple[Trial, ...] = ()

    @property
    def seconds(self) -> float:
        """Seconds that the pack took on its slot: busy ones where they are known."""
        return (self.finished_ms - self.started_ms) / 1000 if self.busy_seconds is None else self.busy_seconds


class NoIdleSlotError(RuntimeError):
    """A pack was submitted, or the next slot was asked for, while all slots are taken."""

    def __init__(self) -> None:
        super().__init__("all slots are taken: call wait before the next submit")


class Executor(Protocol):
    """Runs packs on slots, which may come and go; never more packs than slots."""

    @property
    def slots(self) -> Sequence[Slot]: ...

    def idle(self) -> int:
        """How many packs may be submitted now."""
        ...

    def next_slot(self) -> Slot:
        """The idle slot that the next pack will run on.

        Raises:
            NoIdleSlotError: all slots are taken.
        """
        ...

    def submit(self, trials: Sequence[Trial], seconds: float = math.inf, step_seconds: float = math.inf) -> None:
        """Start a pack on that slot. Where the executor can end a pack, it fails as hanging.

        Args:
            seconds: after which a pack hangs that has not ended, or not even begun. Where the work runs in steps, a
                pack that has begun may take longer.
            step_seconds: after which a pack hangs that has begun and has done no step since.

        Raises:
            NoIdleSlotError: all slots are taken.
        """
        ...

    def shares(self) -> Mapping[str, float]:
        """The share of its work that each running pack has done, by the name of its slot, as far as it is known.

        Where the work runs in steps, a pack that takes longer than a second is known, and the share is a few seconds
        old at most.
        """
        ...

    def drain(self, seconds: float) -> None:
        """Ask the packs that run to end within `seconds`.

        Where the work runs in steps, a pack goes on as long as its next trajectories will probably be there in time.
        Then it ends at a step, and its result gives back the trials that have none. Other works run on.
        """
        ...

    def wait(self, timeout: float) -> list[PackResult]:
        """The packs that have ended: as soon as there is one, or none after `timeout` seconds.

        In the process of the driver itself, a step may take longer, and so may a work that does not run in steps.

        Raises:
            GradstabError: the work raised it, because the user must repair something (data that is missing) and trying
                the pack again would not help. The run ends, and the next run trains the pack's trials.
        """
        ...

    def close(self) -> None:
        """Stop at once; packs that run are abandoned."""
        ...


@dataclass(frozen=True)
class Proposal:
    """A point that a searcher wants to be tried, and its number in storage."""

    number: int
    point: dict[str, Value]
    retry_of: int | None = None


@dataclass(frozen=True)
class TrialValue:
    """What storage keeps of a finished trial: the margin, which is maximized, and short attributes beside it."""

    number: int
    margin: float
    attributes: dict[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class SearchState:
    """The state of a stored study, by trial number.

    Attributes:
        told: finished with a result.
        failed: failed for good.
        running: asked for and not finished.
        retries: the failed trial that each retry repeats.
    """

    told: frozenset[int]
    failed: frozenset[int]
    running: tuple[Proposal, ...]
    retries: Mapping[int, int] = field(default_factory=dict)


class Searcher(Protocol):
    """Proposes points and receives results; the only writer of the search storage."""

    def state(self) -> SearchState:
        """The state of storage now; running trials have their complete point."""
        ...

    def proposal(self, number: int) -> Proposal:
        """The point that storage has under a number, finished or not."""
        ...

    def ask(self, count: int) -> list[Proposal]:
        """`count` new trials, numbered consecutively."""
        ...

    def ask_again(self, numbers: Sequence[int]) -> list[Proposal]:
        """Create new trials, with new numbers, at the points of failed ones; returns those that are running.

        Those that were asked for again before do not count twice.
        """
        ...

    def restore(self, points: Mapping[int, dict[str, Value]], retries: Mapping[int, int]) -> None:
        """Create again, as running, the trials that storage lost: from its first missing number to the largest given.

        Numbers between them that are not given get a proposal of the sampler.
        """
        ...

    def tell(self, result: TrialValue) -> None:
        """Complete a running trial; does nothing where it is finished."""
        ...

    def tell_failure(self, number: int, reason: str) -> None:
        """End a running trial as FAIL; does nothing where it is finished."""
        ...

    def certificate(self) -> Certificate | None:
        """How the study stands against its stop, by the results in storage; None where it has no stop."""
        ...

    def batched_tells(self) -> AbstractContextManager[None]:
        """Batch several `tell` calls into one write, which may come at the end. Do not call `ask` inside."""
        ...

    def close(self) -> None:
        """Close the connection to storage."""
        ...


class Tracker(Protocol):
    """Sends durable records on in the background; it may lag, die and be started again."""

    def notify(self) -> None:
        """Tell the tracker that new records, or a new state of the study, are in the results folder."""
        ...

    def waiting(self) -> int:
        """How many recorded trials have not been sent yet."""
        ...

    def last_error(self) -> str | None:
        """One sentence on what keeps records from being sent, or None."""
        ...

    def close(self, patience: float) -> int:
        """Send the rest, for at most `patience` seconds without progress; how many trials still wait then."""
        ...
