"""Packs on Ray: one warm actor per slot, a lost one replaced at once.

Ray's own ActorPool is not used: it drops a dead actor for good and hands out busy ones (ray#50313).
"""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Ray reports usage to its makers by default; a person who set the variable keeps their choice
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Ray starts its workers at niceness 15, below every other process of the machine, the shipper of results included
os.environ.setdefault("RAY_worker_niceness", "0")
# read when Ray is imported: else the death of a worker, which PackResult reports, is printed on our stdout
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")

import ray
from ray import cloudpickle
from ray._private import ray_constants
from ray.exceptions import RayError, RayTaskError

from pipeline.errors import GradstabError
from pipeline.execution.door import knock
from pipeline.execution.reasons import loss_of, reason_of
from pipeline.ports import PackResult, Slot, SlowToStart, Work
from pipeline.trajectory import Trajectory
from pipeline.trial import Trial

_START_SECONDS = 60.0
_OBJECT_STORE_BYTES = 512 * 2**20  # results of a few packs; Ray would reserve 30 % of the machine
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]  # see _Worker


class ExecutionError(GradstabError):
    """No worker could be had."""


class _Worker:
    """What runs on a slot.

    Ray puts the driver's folder first on a worker's path, where a `pipeline` of a person's own would hide ours: the
    class travels by value, mends the path (what the driver imports, nothing else) and the thread settings, and only
    then unpickles what imports this package.
    """

    def __init__(self, pickled: bytes, threads: int, driver_folder: str, driver_path: list[str]) -> None:
        sys.path[:] = dict.fromkeys([*(path for path in sys.path if path != driver_folder), *driver_path])
        os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
        self._work: Work
        self._slot: Slot
        self._work, self._slot = pickle.loads(pickled)

    def ready(self) -> None:
        """Returns once the actor stands."""

    def prepare(self) -> None:
        """Spends the time until the first pack on what it needs."""
        self._work.prepare()  # type: ignore[attr-defined]  # asked for only of a SlowToStart, which must not travel

    def run(self, trials: tuple[Trial, ...]) -> tuple[int, int, list[Trajectory]]:
        """Start and end in ms since the epoch, and the trajectories."""
        started_ms = time.time_ns() // 10**6
        trajectories = self._work.run(trials, self._slot)
        return started_ms, time.time_ns() // 10**6, trajectories


@dataclass
class _Seat:
    """A slot and the actor that serves it now."""

    slot: Slot
    actor: Any


@dataclass(frozen=True)
class _Flight:
    """A pack in flight."""

    seat: _Seat
    trials: tuple[Trial, ...]
    submitted_ms: int


class RayExecutor:
    """The Executor port on Ray actors that live as long as the run; they start while the caller does other things.

    Args:
        num_slots: CPU slots wanted; None takes every CPU of the machine, or of the cluster.
        address: of a running Ray cluster ("auto" finds one here); None starts Ray in this process. The
            environment's RAY_ADDRESS is not read.
        gpu_share: part of a GPU that a slot takes; every GPU found is cut into such slots, beside the CPU slots.
        threads: of a CPU slot.

    Raises:
        ExecutionError: the cluster cannot be reached, or (on the first look at `slots` or `idle`) it gave no worker
            within a minute.
    """

    def __init__(
        self,
        work: Work,
        num_slots: int | None = None,
        *,
        address: str | None = None,
        gpu_share: float = 1.0,
        threads: int = 1,
    ) -> None:
        self._owns_ray = not ray.is_initialized()
        if self._owns_ray:
            _connect(address, num_slots, threads)
        self._gpu_share = gpu_share
        self._work = work
        self._flights: dict[Any, _Flight] = {}
        self._starting: dict[Any, _Seat] = {}
        self._seats: list[_Seat] = []
        self._idle: deque[_Seat] = deque()
        try:
            resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
            self._start(_slots_of(resources, num_slots, gpu_share, threads))
        except BaseException:
            self.close()
            raise

    @property
    def slots(self) -> Sequence[Slot]:
        self._await_workers()
        return [seat.slot for seat in self._seats]

    def idle(self) -> int:
        self._await_workers()
        return len(self._idle)

    def submit(self, trials: Sequence[Trial]) -> None:
        """Start a pack on an idle slot.

        Raises:
            RuntimeError: all slots are taken.
        """
        if not self.idle():
            raise RuntimeError("submit needs an idle slot, got none: call wait first")
        seat = self._idle.popleft()
        pack = tuple(trials)
        try:
            result = seat.actor.run.remote(pack)
        except RayError:  # the actor is known to be dead already
            self._replace(seat)
            result = seat.actor.run.remote(pack)
        self._flights[result] = _Flight(seat, pack, time.time_ns() // 10**6)

    def wait(self, timeout: float) -> list[PackResult]:
        """Packs that ended: as soon as there is one, or none after `timeout` seconds."""
        if not self._flights:
            return []
        flying = list(self._flights)
        ended, _ = ray.wait(flying, num_returns=1, timeout=timeout)
        if ended:
            ended, _ = ray.wait(flying, num_returns=len(flying), timeout=0)
        return [self._landed(result) for result in ended]

    def close(self) -> None:
        """Kill the workers, and Ray too where this executor started it; packs in flight are abandoned."""
        seats = [*self._seats, *self._starting.values()]
        self._seats, self._starting, self._idle = [], {}, deque()
        self._flights.clear()
        for seat in seats:
            ray.kill(seat.actor, no_restart=True)
        if self._owns_ray:
            ray.shutdown()

    def _landed(self, result: Any) -> PackResult:
        flight = self._flights.pop(result)
        seat = flight.seat
        started_ms, trajectories, failure = flight.submitted_ms, None, None
        finished_ms = time.time_ns() // 10**6
        try:
            started_ms, finished_ms, trajectories = ray.get(result)
        except RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            if isinstance(cause, GradstabError):
                self._idle.append(seat)
                raise cause from None
            failure = reason_of(cause)
        except Exception as error:  # Ray's own errors, and results that cannot be read: the worker is not to be trusted
            failure = loss_of(error)
            self._replace(seat)
        self._idle.append(seat)
        return PackResult(flight.trials, seat.slot, started_ms, finished_ms, trajectories, failure)

    def _replace(self, seat: _Seat) -> None:
        ray.kill(seat.actor, no_restart=True)  # an actor that is merely unreachable must not go on training
        seat.actor = self._started(seat.slot)

    def _started(self, slot: Slot) -> Any:
        on_gpu = slot.kind == "cuda"
        pickled = cloudpickle.dumps((self._work, slot))  # type: ignore[no-untyped-call]
        options = {"num_cpus": 0 if on_gpu else slot.threads, "num_gpus": self._gpu_share if on_gpu else 0}
        actor = ray.remote(_Worker).options(max_restarts=0, max_task_retries=0, **options)
        folder = str(Path.cwd())
        return actor.remote(pickled, slot.threads, folder, [path or folder for path in sys.path])

    def _start(self, slots: Sequence[Slot]) -> None:
        """Start a worker a slot, and return before they stand."""
        if not slots:
            raise ExecutionError(
                "Ray must offer at least one CPU or GPU, but its cluster has none: start a worker node"
            )
        for slot in slots:
            actor = self._started(slot)
            self._starting[actor.ready.remote()] = _Seat(slot, actor)
            if isinstance(self._work, SlowToStart):
                actor.prepare.remote()  # nobody waits for it but the first pack, which meets its errors again

    def _await_workers(self) -> None:
        """Seats whose worker stands within a minute; those of a busy cluster that do not are given up."""
        if not self._starting:
            return
        starting, self._starting = self._starting, {}
        ready, late = ray.wait(list(starting), num_returns=len(starting), timeout=_START_SECONDS)
        for pending in late:
            ray.kill(starting[pending].actor, no_restart=True)
        reason = f"none was free within {_START_SECONDS:.0f} s"
        standing = set()
        for pending in ready:
            try:
                ray.get(pending)
                standing.add(pending)
            except RayError as error:
                reason = str(error).strip().splitlines()[-1]
        if not standing:
            raise ExecutionError(f"a worker must start on Ray, but: {reason}")
        self._seats = [seat for pending, seat in starting.items() if pending in standing]
        self._idle = deque(self._seats)


def _connect(address: str | None, num_slots: int | None, threads: int) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address is not None:
        try:
            knock(address)
            ray.init(address=address, **quiet)
        except (ConnectionError, OSError, RayError, RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ExecutionError(
                f"a Ray cluster must answer at {address!r}, but: {reason}. Start it, or leave the address out"
            ) from None
        return
    with _loopback_only():
        ray.init(
            address="local",  # never a cluster that happens to be in RAY_ADDRESS
            num_cpus=None if num_slots is None else num_slots * threads,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            **quiet,
        )


@contextmanager
def _loopback_only() -> Iterator[None]:
    """Ray started here listens on 127.0.0.1 alone: on Linux it would serve anyone on the network.

    The switch is the one Ray throws by itself on macOS and Windows; its processes read the variable, this one the
    constant made from it at import.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
        del os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR]


def _slots_of(resources: dict[str, float], num_slots: int | None, gpu_share: float, threads: int) -> list[Slot]:
    available = int(resources.get("CPU", 0)) // threads
    num_cpu_slots = available if num_slots is None else min(num_slots, available)
    num_gpu_slots = int(resources.get("GPU", 0)) * int(1 / gpu_share + 1e-9)
    cpu = [Slot(f"cpu-{i}", "cpu", threads) for i in range(num_cpu_slots)]
    return [*(Slot(f"cuda-{i}", "cuda", 1) for i in range(num_gpu_slots)), *cpu]
