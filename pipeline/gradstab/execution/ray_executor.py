"""Packs on Ray: one warm actor per slot, a lost one replaced at once; slots come and go with the cluster's nodes.

Ray's own ActorPool is not used: it drops a dead actor for good and hands out busy ones (ray#50313).
"""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gradstab.execution.ray_cluster import Cluster, ExecutionError, Node, SlotRequest

# isort: split
# after ray_cluster, which sets what Ray reads when it is imported
import ray
from ray import cloudpickle
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from gradstab.errors import GradstabError
from gradstab.execution.failures import error_failure, hang_failure, node_failure, worker_failure
from gradstab.execution.ray_worker import Worker
from gradstab.loop.ports import ChecksSlots, Device, PackResult, Slot, SupportsWarmUp, Work
from gradstab.loop.trial import Trial

_START_SECONDS = 60.0
_RETRY_SECONDS = 10.0  # until a worker that did not start is tried again
_JOIN_SECONDS = 900.0  # that an autoscaler may take to bring the first node: clouds take minutes, queues longer


@dataclass
class _WorkerSlot:
    """A slot, the node it is on, and the actor that serves it now."""

    slot: Slot
    node: Node
    actor: Any


@dataclass(frozen=True)
class _RunningPack:
    """A pack in flight, and when (monotonic) it counts as hanging."""

    seat: _WorkerSlot
    trials: tuple[Trial, ...]
    submitted_ms: int
    overdue_at: float


class RayExecutor:
    """The Executor port on Ray actors that live as long as the run; they start while the caller does other things.

    Args:
        num_slots: slots wanted; None takes every CPU of the machine, or of the cluster's nodes as they join.
        address: of a running Ray cluster ("auto" finds one here); None starts Ray in this process. The
            environment's RAY_ADDRESS is not read.
        device: "cpu", "gpu", or "any" for both side by side; `num_slots` counts CPU slots unless it is "gpu".
        gpu_share: part of a GPU that a slot takes; every GPU found is cut into such slots.
        threads: of a CPU slot.
        report: hears where the dashboard of a cluster is, and in sentences which slots cannot be used and why.

    Slots on which ChecksSlots work meets an obstacle are left out; the others go on.

    Raises:
        ExecutionError: the cluster cannot be reached, or (on the first look at `slots` or `idle`) it gave no worker
            within a minute; where an autoscaler was asked for slots, later, when none came in a quarter of an hour.
        ClusterLostError: later, when the cluster's head is gone.
    """

    def __init__(
        self,
        work: Work,
        num_slots: int | None = None,
        *,
        address: str | None = None,
        device: Device = "any",
        gpu_share: float = 1.0,
        threads: int = 1,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._demand = SlotRequest(num_slots, device, gpu_share, threads)
        self._work = work
        self._report = report
        self._reported: set[str] = set()
        self._numbers = {"cpu": itertools.count(), "cuda": itertools.count()}
        self._flights: dict[Any, _RunningPack] = {}
        self._starting: dict[Any, _WorkerSlot] = {}
        self._seats: list[_WorkerSlot] = []
        self._idle: deque[_WorkerSlot] = deque()
        self._known: set[str] = set()  # ids of nodes whose slots are taken
        self._later: list[tuple[float, _WorkerSlot]] = []  # seats whose worker did not start, and when to try again
        self._awaited = False
        self._join_by = time.monotonic() + _JOIN_SECONDS
        self._cluster = Cluster(address, self._demand)
        if self._cluster.dashboard:
            report(f"Ray dashboard: {self._cluster.dashboard}")
        try:
            self._add_nodes(self._cluster.nodes())
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

    def next_slot(self) -> Slot:
        """The slot that the next pack will run on.

        Raises:
            RuntimeError: all slots are taken.
        """
        if not self.idle():
            raise RuntimeError("submit needs an idle slot, got none: call wait first")
        return self._idle[0].slot

    def submit(self, trials: Sequence[Trial], seconds: float = math.inf) -> None:
        """Start a pack on an idle slot; its worker is killed when it has said nothing for `seconds`.

        Raises:
            RuntimeError: all slots are taken.
        """
        self.next_slot()
        seat = self._idle.popleft()
        pack = tuple(trials)
        try:
            result = seat.actor.run.remote(pack)
        except RayError:  # the actor is known to be dead already
            self._replace(seat)
            result = seat.actor.run.remote(pack)
        self._flights[result] = _RunningPack(seat, pack, time.time_ns() // 10**6, time.monotonic() + seconds)

    def wait(self, timeout: float) -> list[PackResult]:
        """Packs that ended: as soon as there is one, or none after `timeout` seconds."""
        self._follow_nodes()
        if not self._flights:
            if not self._seats:  # all nodes are gone, or none has come yet: wait for one to join
                self._require_future_slots()
                time.sleep(timeout)
            return []
        flying = list(self._flights)
        ended, _ = ray.wait(flying, num_returns=1, timeout=timeout)
        if ended:
            ended, _ = ray.wait(flying, num_returns=len(flying), timeout=0)
        return [*(self._collect(result) for result in ended), *self._overdue()]

    def close(self) -> None:
        """Kill the workers, and Ray too where this executor started it; packs in flight are abandoned."""
        seats = [*self._seats, *self._starting.values()]
        self._seats, self._starting, self._idle = [], {}, deque()
        self._flights.clear()
        if self._cluster.reachable():
            for seat in seats:
                ray.kill(seat.actor, no_restart=True)
        self._cluster.close()

    def _collect(self, result: Any) -> PackResult:
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
            failure = error_failure(cause)
            if seat.slot.kind == "cuda":  # which may be of no more use to this process, and its memory to others
                self._restart(seat)
                return PackResult(flight.trials, seat.slot, started_ms, finished_ms, None, failure)
        except Exception as error:  # Ray's own errors, and results that cannot be read: the worker is not to be trusted
            if self._gone(seat):
                return PackResult(flight.trials, seat.slot, started_ms, finished_ms, None, node_failure(seat.node.name))
            failure = worker_failure(error)
            if isinstance(error, ActorUnavailableError):  # its node may be on the way out, and start nothing more
                self._restart(seat)
                return PackResult(flight.trials, seat.slot, started_ms, finished_ms, None, failure)
            self._replace(seat)
        self._idle.append(seat)
        return PackResult(flight.trials, seat.slot, started_ms, finished_ms, trajectories, failure)

    def _overdue(self) -> list[PackResult]:
        """Packs that hang, their workers killed and replaced."""
        now, found = time.monotonic(), []
        for result, flight in list(self._flights.items()):
            if now > flight.overdue_at:
                del self._flights[result]
                finished_ms = time.time_ns() // 10**6
                failure = hang_failure((finished_ms - flight.submitted_ms) / 1000)
                self._restart(flight.seat)
                found.append(
                    PackResult(flight.trials, flight.seat.slot, flight.submitted_ms, finished_ms, None, failure)
                )
        return found

    def _gone(self, seat: _WorkerSlot) -> bool:
        """Whether the seat was lost with its node, which then offers nothing any more."""
        alive = {node.node_id for node in self._cluster.nodes(now=True)}
        if seat.node.node_id in alive:
            return False
        self._remove_node(seat.node.node_id)
        return True

    def _remove_node(self, node_id: str) -> None:
        self._seats = [seat for seat in self._seats if seat.node.node_id != node_id]
        self._idle = deque(seat for seat in self._idle if seat.node.node_id != node_id)
        self._starting = {pending: seat for pending, seat in self._starting.items() if seat.node.node_id != node_id}
        self._later = [(due, seat) for due, seat in self._later if seat.node.node_id != node_id]
        self._known.discard(node_id)

    def _follow_nodes(self) -> None:
        """Seats for nodes that joined; none for those that left. Workers that have started take their seats."""
        nodes = self._cluster.nodes()
        for node_id in self._known - {node.node_id for node in nodes}:
            self._remove_node(node_id)
        self._add_nodes(nodes)
        due = [seat for at, seat in self._later if at < time.monotonic()]
        self._later = [(at, seat) for at, seat in self._later if seat not in due]
        for seat in due:
            seat.actor = self._started(seat.slot, seat.node)
            self._begin(seat)
        if self._starting and self._awaited:
            ready, _ = ray.wait(list(self._starting), num_returns=len(self._starting), timeout=0)
            self._seat_ready(ready)

    def _add_nodes(self, nodes: Sequence[Node]) -> None:
        """Start a worker for every slot of nodes that are new, and return before they stand."""
        for node in nodes:
            if node.node_id in self._known:
                continue
            self._known.add(node.node_id)
            seats = [*self._seats, *self._starting.values()]
            seats += [seat for _, seat in self._later]
            taken = sum(self._demand.counts(seat.slot) for seat in seats)
            for slot in self._demand.on(node.resources, taken):
                named = replace(slot, name=f"{slot.kind}-{next(self._numbers[slot.kind])}", node=node.name)
                seat = _WorkerSlot(named, node, self._started(named, node))
                self._begin(seat)
                if isinstance(self._work, SupportsWarmUp):
                    seat.actor.warm_up.remote()  # nobody waits for it but the first pack, which meets its errors again

    def _replace(self, seat: _WorkerSlot) -> None:
        ray.kill(seat.actor, no_restart=True)  # an actor that is merely unreachable must not go on training
        seat.actor = self._started(seat.slot, seat.node)

    def _restart(self, seat: _WorkerSlot) -> None:
        """Replace a worker whose end may take its time: the seat is taken again once the new one stands."""
        self._replace(seat)
        self._seats = [other for other in self._seats if other is not seat]
        self._begin(seat)

    def _begin(self, seat: _WorkerSlot) -> None:
        """Let a new actor stand up, and say what keeps it from its slot if anything does."""
        self._starting[seat.actor.ready.remote(isinstance(self._work, ChecksSlots))] = seat

    def _started(self, slot: Slot, node: Node) -> Any:
        on_gpu = slot.kind == "cuda"
        pickled = cloudpickle.dumps((self._work, slot))  # type: ignore[no-untyped-call]
        options = {"num_cpus": 0 if on_gpu else slot.threads, "num_gpus": self._demand.gpu_share if on_gpu else 0}
        there = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
        actor = ray.remote(Worker).options(max_restarts=0, max_task_retries=0, scheduling_strategy=there, **options)
        folder = str(Path.cwd())
        return actor.remote(pickled, slot.threads, folder, [path or folder for path in sys.path])

    def _await_workers(self) -> None:
        """At first, wait until the workers stand, a minute at most; those of a busy cluster may come later."""
        if self._awaited:
            return
        if not self._starting and not self._cluster.asked:
            raise ExecutionError(self._demand.unmet(self._cluster.remote))
        starting = list(self._starting)
        ready, _ = ray.wait(starting, num_returns=len(starting), timeout=_START_SECONDS) if starting else ([], [])
        self._awaited = True
        reason = self._seat_ready(ready)
        if self._seats:
            return
        if not self._cluster.asked or (starting and not self._starting and not self._later):
            reason = reason or f"no slot was free within {_START_SECONDS:.0f} s"
            raise ExecutionError(f"a worker must start on Ray, but {reason}")
        self._report_once(
            f"{self._demand.slots} slots were requested and none is there yet: the run starts with the first"
        )

    def _require_future_slots(self) -> None:
        """See whether a slot may still come, where there is none.

        Raises:
            ExecutionError: none will.
        """
        if self._starting or self._later:
            return
        if not self._cluster.remote:
            raise ExecutionError("a slot must be left to train on, but none is: see above why, and run again")
        if time.monotonic() > self._join_by:
            raise ExecutionError(self._demand.unmet(remote=True))

    def _seat_ready(self, ready: Sequence[Any]) -> str | None:
        """Let workers take packs; why the last one that cannot is none, as the end of a sentence."""
        reason = None
        for pending in ready:
            seat = self._starting.pop(pending)
            kind = "GPU" if seat.slot.kind == "cuda" else "CPU"
            try:
                obstacle = ray.get(pending)
            except RayError as error:
                reason = f"node {seat.node.name} starts none on a {kind}: {str(error).strip().splitlines()[-1]}"
                self._later.append((time.monotonic() + _RETRY_SECONDS, seat))
                self._report_once(f"no worker started on a slot: {reason}; trying again every {_RETRY_SECONDS:.0f} s")
                continue
            if obstacle is not None:
                ray.kill(seat.actor, no_restart=True)
                reason = f"node {seat.node.name} cannot train on its {kind}: {obstacle}"
                self._report_once(f"{reason}; its {kind} slots are not used. Fix that, then run the study again")
                continue
            self._join_by = math.inf  # nodes that have come may go and come again
            self._seats.append(seat)
            self._idle.append(seat)
        self._seats.sort(key=lambda seat: (seat.slot.kind != "cuda", int(seat.slot.name.rpartition("-")[2])))
        return reason

    def _report_once(self, sentence: str) -> None:
        """Report once: the slots of a node, and every new try, meet the same."""
        if sentence not in self._reported:
            self._reported.add(sentence)
            self._report(sentence)
