"""The reference executor: one slot, in this process, in order."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from gradstab.errors import GradstabError
from gradstab.execution.failures import error_failure
from gradstab.loop.ports import NoIdleSlotError, PackResult, Slot, Work
from gradstab.loop.trial import Trial


class SerialExecutor:
    """Runs each pack within `wait`, which therefore takes as long as the pack, whatever its timeout.

    Args:
        threads: of the slot, for the work to read.
    """

    def __init__(self, work: Work, threads: int = 1) -> None:
        self._work = work
        self._slot = Slot("cpu-0", threads=threads)
        self._submitted: tuple[Trial, ...] | None = None

    @property
    def slots(self) -> Sequence[Slot]:
        return (self._slot,)

    def idle(self) -> int:
        return 0 if self._submitted is not None else 1

    def next_slot(self) -> Slot:
        if self._submitted is not None:
            raise NoIdleSlotError
        return self._slot

    def submit(self, trials: Sequence[Trial], seconds: float = math.inf) -> None:  # noqa: ARG002
        """Keep a pack for the next `wait`; a pack that hangs cannot be ended after `seconds`.

        Raises:
            NoIdleSlotError: the slot holds a pack already.
        """
        self.next_slot()
        self._submitted = tuple(trials)

    def wait(self, timeout: float) -> list[PackResult]:  # noqa: ARG002
        """Run the submitted pack. Ctrl-C and a GradstabError are raised; any other exception is the pack's failure."""
        if self._submitted is None:
            return []
        trials, started_ms, cpu_seconds = self._submitted, time.time_ns() // 10**6, time.process_time()
        trajectories = failure = None
        try:
            trajectories = self._work.run(trials, self._slot)
        except GradstabError:
            raise
        except Exception as error:  # divergence is a result: whatever else the work raises is the machine's failure
            failure = error_failure(error)
        finally:
            self._submitted = None
        busy = (time.process_time() - cpu_seconds) / self._slot.threads
        return [PackResult(trials, self._slot, started_ms, time.time_ns() // 10**6, trajectories, failure, busy)]

    def close(self) -> None:
        """Forget the submitted pack."""
        self._submitted = None
