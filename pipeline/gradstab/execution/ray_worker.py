"""The class that runs in the process of a Ray worker."""

from __future__ import annotations

import os
import pickle
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ray import cloudpickle, method

from gradstab.execution.job_entry import SECRETS
from gradstab.loop.ports import Outcome, Slot, Work
from gradstab.loop.trial import Trial

if TYPE_CHECKING:
    from gradstab.execution.stepped_pack import SteppedPack

WATCHING = "watching"  # the concurrency group of what a worker does beside its pack
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]  # see Worker


class Worker:
    """Runs packs on one slot.

    The class is sent to the worker by value and not by name, so that nothing of gradstab is imported there before the
    number of threads and the search path are set. Ray puts the driver's working folder first on a worker's path, even
    where the driver does not search it: a file `gradstab.py` or a package `gradstab/` that the user has there would be
    imported instead of this package.

    Args:
        pickled: the work and the slot.
        driver_folder: the working folder of the driver.
        driver_path: the search path of the driver, on which the user's own modules are found.
    """

    def __init__(self, pickled: bytes, driver_folder: str, driver_path: list[str]) -> None:
        # the worker's own path comes first: a cluster's machine may have an older gradstab where the driver has its own
        sys.path[:] = dict.fromkeys([*(path for path in sys.path if path != driver_folder), *driver_path])
        os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
        Path(SECRETS).unlink(missing_ok=True)  # a submitted job's driver has read them, maybe on another machine
        self._work: Work
        self._slot: Slot
        self._work, self._slot = pickle.loads(pickled)
        self._running: tuple[int, SteppedPack] | None = None  # the newest pack, by its number
        self._drained: tuple[int, float] | None = None  # a pack, and when it should have ended

    def ready(self, code: str | None) -> tuple[str | None, int | None]:
        """Once the worker has started: why the work cannot run on this slot, or None; the free bytes of its device.

        Args:
            code: the digest of the driver's code, which this worker's must equal; None for one on the driver's machine.
        """
        from gradstab.loop.ports import ChecksSlots, MeasuresMemory
        from gradstab.system import provenance

        if code is not None and provenance.code_digest() != code:
            folder = Path(provenance.__file__).parent.parent
            return (
                f"gradstab in {folder} there is not the code that the driver runs: take it off the node's PYTHONPATH, "
                "or install the driver's version"
            ), None
        why_unusable = self._work.why_unusable(self._slot) if isinstance(self._work, ChecksSlots) else None
        if why_unusable is not None or not isinstance(self._work, MeasuresMemory):
            return why_unusable, None
        return None, self._work.free_bytes(self._slot)

    def warm_up(self) -> None:
        """Load what every pack needs while there is no pack yet."""
        from gradstab.loop.ports import SupportsWarmUp

        if isinstance(self._work, SupportsWarmUp):
            self._work.warm_up()

    def run(self, trials: tuple[Trial, ...], number: int) -> tuple[int, int, float | None, dict[int, Outcome]]:
        """Train a pack, which `watch` knows by its number.

        Returns:
            Start and end in ms since the epoch, busy seconds (see PackResult), and the outcomes by the position of
            their trial in the pack.
        """
        from gradstab.execution.stepped_pack import SteppedPack

        started_ms, cpu_seconds = time.time_ns() // 10**6, time.process_time()
        pack = SteppedPack(self._work, trials, self._slot)
        self._running = (number, pack)
        if self._drained is not None and self._drained[0] == number:
            pack.finish_within(self._drained[1] - time.monotonic())
        while pack.advance():
            pass
        busy = time.process_time() - cpu_seconds if self._slot.kind == "cpu" else None
        return started_ms, time.time_ns() // 10**6, busy, pack.outcomes

    @method(concurrency_group=WATCHING)
    def watch(self, number: int, finish_seconds: float | None = None) -> tuple[float, float] | None:
        """How far the pack with this number is, from another thread than the one that trains it.

        Args:
            finish_seconds: let the pack end within so many seconds, as far as its work can.

        Returns:
            The share of its work that is done, and the seconds since its last step; None before its first step.
        """
        if finish_seconds is not None:  # set first: the pack may begin meanwhile
            self._drained = (number, time.monotonic() + finish_seconds)
        if self._running is None or self._running[0] != number:
            return None
        pack = self._running[1]
        if finish_seconds is not None:
            pack.finish_within(finish_seconds)
        return (pack.done, pack.silent_seconds) if pack.has_begun else None
