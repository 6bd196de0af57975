"""What runs in the process that Ray starts on a slot."""

from __future__ import annotations

import os
import pickle
import sys
import time
from pathlib import Path

from ray import cloudpickle

from gradstab.loop.ports import Slot, Work
from gradstab.loop.trial import Trial
from gradstab.record.trajectory import Trajectory

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
SECRETS = ".gradstab-secrets.json"  # as job_entry.py writes it, which does not travel with this class

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]  # see Worker


class Worker:
    """What runs on a slot.

    Ray puts the driver's folder first on a worker's path, where a `pipeline` of a person's own would hide ours: the
    class travels by value, mends the path (what the driver imports, nothing else) and the thread settings, and only
    then unpickles what imports this package.
    """

    def __init__(self, pickled: bytes, threads: int, driver_folder: str, driver_path: list[str]) -> None:
        sys.path[:] = dict.fromkeys([*(path for path in sys.path if path != driver_folder), *driver_path])
        os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
        Path(SECRETS).unlink(missing_ok=True)  # of a submitted job: its driver has read it, on another machine
        self._work: Work
        self._slot: Slot
        self._work, self._slot = pickle.loads(pickled)

    def ready(self, particular: bool) -> str | None:
        """Returns once the actor stands: what keeps a ChecksSlots work from its slot, if anything does."""
        return self._work.why_unusable(self._slot) if particular else None  # type: ignore[attr-defined]

    def warm_up(self) -> None:
        """Spends the time until the first pack on what it needs."""
        self._work.warm_up()  # type: ignore[attr-defined]  # asked for only of a SupportsWarmUp, which must not travel

    def run(self, trials: tuple[Trial, ...]) -> tuple[int, int, list[Trajectory]]:
        """Start and end in ms since the epoch, and the trajectories."""
        started_ms = time.time_ns() // 10**6
        trajectories = self._work.run(trials, self._slot)
        return started_ms, time.time_ns() // 10**6, trajectories
