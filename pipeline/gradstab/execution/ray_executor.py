"""Packs on Ray: each runs on an idle worker of the fleet, and a worker that fails is replaced at once.

Ray's own ActorPool is not used: it drops a dead actor for good and hands out busy ones (ray#50313).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradstab.execution.ray_cluster import Cluster

# isort: split
# after ray_cluster, which imports ray_connection: that sets what Ray reads when it is imported
import ray
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError

from gradstab.errors import GradstabError
from gradstab.execution.failures import error_failure, hang_failure, node_failure, silence_failure, worker_failure
from gradstab.execution.pack_watch import PackWatch, WatchedPack
from gradstab.execution.slot_request import SlotRequest
from gradstab.execution.stepped_pack import result_of
from gradstab.execution.worker_fleet import WorkerFleet, WorkerSlot
from gradstab.loop.ports import Device, NoIdleSlotError, PackResult, RunsInSteps, Slot, Work
from gradstab.loop.trial import Trial
from gradstab.record.failure import Failure

_LOOK_FOR_SLOTS_SECONDS = 1.0  # between looks, while there is none


@dataclass(frozen=True)
class _RunningPack:
    """A pack, the worker that runs it, and what is known of it.

    Attributes:
        hangs_at: when it counts as hanging if it has done no step, in seconds of the monotonic clock.
        step_seconds: after which it counts as hanging if it has done one.
        watched: how far it is; None where the work does not run in steps.
    """

    worker: WorkerSlot
    trials: tuple[Trial, ...]
    submitted_ms: int
    hangs_at: float
    step_seconds: float
    watched: WatchedPack | None

    def hanging(self) -> Failure | None:
        """The failure of this pack if it hangs."""
        silence = self.watched.silence() if self.watched is not None else None
        if silence is not None:
            return silence_failure(silence) if silence > self.step_seconds else None
        if time.monotonic() <= self.hangs_at:
            return None
        return hang_failure(time.time_ns() / 1e9 - self.submitted_ms / 1000)

    def failed(self, failure: Failure) -> PackResult:
        now_ms = time.time_ns() // 10**6
        return PackResult(self.trials, self.worker.slot, self.submitted_ms, now_ms, failure=failure)


class RayExecutor:
    """The Executor port on Ray actors, which start in the background and live as long as the run.

    Args:
        num_slots: the largest number of slots; None takes every CPU of this machine, or of a cluster's nodes as they
            join.
        address: of a running Ray cluster ("auto" finds one on this machine); None starts Ray in this process. The
            environment's RAY_ADDRESS is not read.
        device: "cpu", "gpu", or "any" for both side by side; `num_slots` counts CPU slots unless it is "gpu".
        gpu_share: the part of a GPU that one slot takes; every GPU is divided into such slots.
        report: receives sentences for the user: the cluster's dashboard, and slots that cannot be used and why.

    Raises:
        ExecutionError: the cluster cannot be reached, or (from `slots` and `idle`) no worker started within a minute.
            Where an autoscaler was asked for slots, `wait` raises it after a quarter of an hour.
        ClusterLostError: from `wait`, when the cluster's head is gone.
    """

    def __init__(
        self,
        work: Work,
        num_slots: int | None = None,
        *,
        address: str | None = None,
        device: Device = "any",
        gpu_share: float = 1.0,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        request = SlotRequest(num_slots, device, gpu_share)
        self._in_steps = isinstance(work, RunsInSteps)
        self._watch = PackWatch()
        self._running: dict[Any, _RunningPack] = {}  # by the reference that Ray completes when the pack has ended
        self._cluster = Cluster(address, request)
        if self._cluster.dashboard:
            report(f"Ray dashboard: {self._cluster.dashboard}")
        try:
            self._fleet = WorkerFleet(work, request, self._cluster, report)
        except BaseException:
            self._cluster.close()
            raise

    @property
    def slots(self) -> Sequence[Slot]:
        self._fleet.wait_for_start()
        return self._fleet.slots

    def idle(self) -> int:
        self._fleet.wait_for_start()
        return self._fleet.num_idle

    def next_slot(self) -> Slot:
        """The slot that the next pack will run on.

        Raises:
            NoIdleSlotError: all slots are taken.
        """
        if not self.idle():
            raise NoIdleSlotError
        return self._fleet.next_idle().slot

    def submit(self, trials: Sequence[Trial], seconds: float = math.inf, step_seconds: float = math.inf) -> None:
        """Start a pack on an idle slot; its worker is killed where it hangs.

        Raises:
            NoIdleSlotError: all slots are taken.
        """
        self.next_slot()
        worker = self._fleet.take()
        pack, number = tuple(trials), self._watch.next_number()
        try:
            reference = worker.actor.run.remote(pack, number)
        except RayError:  # Ray knows already that the actor is dead
            self._fleet.replace(worker)
            reference = worker.actor.run.remote(pack, number)
        watched = self._watch.add(worker.slot.name, worker.actor, number) if self._in_steps else None
        now_ms, hangs_at = time.time_ns() // 10**6, time.monotonic() + seconds
        self._running[reference] = _RunningPack(worker, pack, now_ms, hangs_at, step_seconds, watched)

    def shares(self) -> Mapping[str, float]:
        return self._watch.shares()

    def drain(self, seconds: float) -> None:
        """Ask the workers of all packs to end them within `seconds`."""
        self._watch.drain(seconds)

    def wait(self, timeout: float) -> list[PackResult]:
        """The packs that have ended: as soon as there is one, or none after `timeout` seconds."""
        self._fleet.follow_nodes()
        self._watch.follow()
        if not self._running:
            if not self._fleet.slots:  # all nodes are gone, or none has come yet: wait for one to join
                self._await_slots(timeout)
            return []
        running = list(self._running)
        ended, _ = ray.wait(running, num_returns=1, timeout=timeout)
        if ended:
            ended, _ = ray.wait(running, num_returns=len(running), timeout=0)
        return [*(self._collect(reference) for reference in ended), *self._end_hanging_packs()]

    def _await_slots(self, timeout: float) -> None:
        """Sleep until there is a slot, or `timeout` seconds."""
        self._fleet.wait_for_start()
        until = time.monotonic() + timeout
        while not self._fleet.slots and (left := until - time.monotonic()) > 0:
            self._fleet.require_future_slots()
            time.sleep(min(left, _LOOK_FOR_SLOTS_SECONDS))
            self._fleet.follow_nodes()

    def close(self) -> None:
        """Kill the workers, and Ray too where this executor started it; packs that run are abandoned."""
        self._running.clear()
        self._watch.clear()
        self._fleet.close()
        self._cluster.close()

    def _collect(self, reference: Any) -> PackResult:
        """The result of a pack that has ended, whose worker is idle, replaced or gone afterwards."""
        pack = self._taken(reference)
        worker = pack.worker
        try:
            started_ms, finished_ms, busy_seconds, outcomes = ray.get(reference)
        except RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            if isinstance(cause, GradstabError):
                self._fleet.release(worker)
                raise cause from None
            if worker.slot.kind == "cuda":  # CUDA may be of no more use in that process, and its memory not be freed
                self._fleet.restart(worker)
            else:
                self._fleet.release(worker)
            return pack.failed(error_failure(cause))
        except Exception as error:  # Ray's own errors, and results that cannot be read: do not trust the worker
            if self._fleet.remove_if_node_is_gone(worker):
                return pack.failed(node_failure(worker.node.name))
            if isinstance(error, ActorUnavailableError):  # its node may be about to go, and start no new worker
                self._fleet.restart(worker)
            else:
                self._fleet.replace(worker)
                self._fleet.release(worker)
            return pack.failed(worker_failure(error))
        self._fleet.release(worker)
        return result_of(pack.trials, worker.slot, (started_ms, finished_ms), outcomes, busy_seconds)

    def _taken(self, reference: Any) -> _RunningPack:
        """A pack that runs no more."""
        pack = self._running.pop(reference)
        if pack.watched is not None:
            self._watch.remove(pack.worker.slot.name)
        return pack

    def _end_hanging_packs(self) -> list[PackResult]:
        """Kill and replace the workers of packs that hang; the results of those packs."""
        results = []
        for reference, pack in list(self._running.items()):
            failure = pack.hanging()
            if failure is None:
                continue
            self._taken(reference)
            if self._fleet.remove_if_node_is_gone(pack.worker):
                results.append(pack.failed(node_failure(pack.worker.node.name)))
            else:
                results.append(pack.failed(failure))
                self._fleet.restart(pack.worker)
        return results
