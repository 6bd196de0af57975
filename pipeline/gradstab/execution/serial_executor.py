"""The reference executor: one slot, in this process, in order."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gradstab.errors import GradstabError
from gradstab.execution.failures import error_failure
from gradstab.execution.stepped_pack import SteppedPack, result_of
from gradstab.loop.ports import NoIdleSlotError, PackResult, Slot, Work
from gradstab.loop.trial import Trial


@dataclass
class _Submitted:
    """A pack, what runs it, when it began, and the CPU seconds that it has taken."""

    trials: tuple[Trial, ...]
    pack: SteppedPack
    started_ms: int | None = None
    cpu_seconds: float = 0.0


class SerialExecutor:
    """Runs a pack within `wait`, step by step, so that the loop goes on between two calls.

    A work that does not run in steps keeps `wait` until the pack has ended, whatever its timeout. A step that hangs
    cannot be ended.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._slot = Slot("cpu-0")
        self._submitted: _Submitted | None = None

    @property
    def slots(self) -> Sequence[Slot]:
        return (self._slot,)

    def idle(self) -> int:
        return 0 if self._submitted is not None else 1

    def next_slot(self) -> Slot:
        if self._submitted is not None:
            raise NoIdleSlotError
        return self._slot

    def submit(
        self,
        trials: Sequence[Trial],
        seconds: float = math.inf,  # noqa: ARG002
        step_seconds: float = math.inf,  # noqa: ARG002
    ) -> None:
        """Keep a pack for the next `wait`; one that hangs cannot be ended.

        Raises:
            NoIdleSlotError: the slot holds a pack already.
        """
        self.next_slot()
        self._submitted = _Submitted(tuple(trials), SteppedPack(self._work, tuple(trials), self._slot))

    def shares(self) -> Mapping[str, float]:
        return {} if self._submitted is None else {self._slot.name: self._submitted.pack.done}

    def drain(self, seconds: float) -> None:
        """Let the submitted pack end within `seconds`, or at its next step."""
        if self._submitted is not None:
            self._submitted.pack.finish_within(seconds)

    def wait(self, timeout: float) -> list[PackResult]:
        """Go on with the submitted pack, by one step at least, until it ends or the time is over.

        Raises:
            KeyboardInterrupt: the second Ctrl-C; the pack is abandoned.
            GradstabError: the work raised it. Any other exception is the pack's failure.
        """
        if self._submitted is None:
            return []
        submitted, cpu_seconds, end = self._submitted, time.process_time(), time.monotonic() + timeout
        submitted.started_ms = submitted.started_ms or time.time_ns() // 10**6
        pack, failure = submitted.pack, None
        self._submitted = None  # whatever is raised
        try:
            while pack.advance():
                if time.monotonic() > end:
                    submitted.cpu_seconds += time.process_time() - cpu_seconds
                    self._submitted = submitted
                    return []
        except GradstabError:
            raise
        except Exception as error:  # divergence is a result: whatever else the work raises is the machine's failure
            failure = error_failure(error)
        busy = submitted.cpu_seconds + time.process_time() - cpu_seconds
        times_ms = submitted.started_ms, time.time_ns() // 10**6
        if failure is not None:
            return [PackResult(submitted.trials, self._slot, *times_ms, failure=failure, busy_seconds=busy)]
        return [result_of(submitted.trials, self._slot, times_ms, pack.outcomes, busy)]

    def close(self) -> None:
        """Forget the submitted pack."""
        self._submitted = None
