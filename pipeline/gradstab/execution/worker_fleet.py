"""The workers of a run: one warm Ray actor for each slot, on slots that come and go with the cluster's nodes."""

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

from gradstab.execution.ray_cluster import Cluster, Node
from gradstab.execution.ray_connection import ExecutionError

# isort: split
# after ray_connection, which sets what Ray reads when it is imported
import ray
from ray import cloudpickle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from gradstab.execution.ray_worker import WATCHING, Worker
from gradstab.execution.slot_request import SlotRequest
from gradstab.loop.packing import FREE_MEMORY_SHARE
from gradstab.loop.ports import Slot, Work
from gradstab.system.provenance import code_digest

_START_SECONDS = 60.0  # that the first workers may take to start
_RETRY_SECONDS = 10.0  # until a worker that did not start is tried again
_JOIN_SECONDS = 900.0  # that an autoscaler may take to bring the first node: clouds take minutes, queues longer


@dataclass(eq=False)
class WorkerSlot:
    """A slot, the node it is on, the actor that works on it now, and its part of its device's memory."""

    slot: Slot
    node: Node
    actor: Any
    memory_share: float


class WorkerFleet:
    """Starts, replaces and removes workers; a worker that has started is idle until it is taken.

    Slots on which the work cannot run are left out, and the others are used. Nobody waits for the workers to start
    until `wait_for_start`.

    Args:
        report: receives sentences on slots that cannot be used, each sentence once.
    """

    def __init__(self, work: Work, request: SlotRequest, cluster: Cluster, report: Callable[[str], None]) -> None:
        self._work = work
        self._request = request
        self._cluster = cluster
        self._report = report
        self._reported: set[str] = set()
        self._numbers = {"cpu": itertools.count(), "cuda": itertools.count()}
        self._started: list[WorkerSlot] = []
        self._idle: deque[WorkerSlot] = deque()
        self._starting: dict[Any, WorkerSlot] = {}  # by the reference that Ray completes once the actor has started
        self._retries: list[tuple[float, WorkerSlot]] = []  # workers that did not start, and when to try again
        self._known_nodes: set[str] = set()
        self._awaited = False
        self._join_by = time.monotonic() + _JOIN_SECONDS
        self._add_nodes(cluster.nodes())

    @property
    def slots(self) -> list[Slot]:
        """The slots whose worker has started: GPUs first, each kind in the order of its numbers."""
        return [worker.slot for worker in self._started]

    @property
    def num_idle(self) -> int:
        return len(self._idle)

    def next_idle(self) -> WorkerSlot:
        """The worker that `take` returns next."""
        return self._idle[0]

    def take(self) -> WorkerSlot:
        """Take an idle worker; `release` gives it back."""
        return self._idle.popleft()

    def release(self, worker: WorkerSlot) -> None:
        """Make a worker idle again."""
        self._idle.append(worker)

    def replace(self, worker: WorkerSlot) -> None:
        """Kill the actor of a slot and start another, which takes packs at once."""
        ray.kill(worker.actor, no_restart=True)  # an actor that is merely out of reach must not go on training
        worker.actor = self._new_actor(worker.slot, worker.node)

    def restart(self, worker: WorkerSlot) -> None:
        """Replace an actor whose end may take long: its slot is idle again once the new one has started."""
        self.replace(worker)
        self._started.remove(worker)
        self._await_start(worker)

    def remove_if_node_is_gone(self, worker: WorkerSlot) -> bool:
        """Remove all workers of this worker's node where that has left the cluster; whether it has."""
        if worker.node.node_id in {node.node_id for node in self._cluster.nodes(now=True)}:
            return False
        self._remove_node(worker.node.node_id)
        return True

    def follow_nodes(self) -> None:
        """Start workers on nodes that joined, drop those of nodes that left, and make started workers idle."""
        nodes = self._cluster.nodes()
        for node_id in self._known_nodes - {node.node_id for node in nodes}:
            self._remove_node(node_id)
        self._add_nodes(nodes)
        due = [worker for at, worker in self._retries if at < time.monotonic()]
        self._retries = [(at, worker) for at, worker in self._retries if worker not in due]
        for worker in due:
            worker.actor = self._new_actor(worker.slot, worker.node)
            self._await_start(worker)
        if self._starting and self._awaited:
            ready, _ = ray.wait(list(self._starting), num_returns=len(self._starting), timeout=0)
            self._admit(ready)

    def wait_for_start(self) -> None:
        """On the first call, wait a minute at most until the workers have started; those of a busy cluster come later.

        Raises:
            ExecutionError: no worker started, and none may come later.
        """
        if self._awaited:
            return
        if not self._starting and not self._cluster.requested:
            raise ExecutionError(self._request.no_slot_message(on_cluster=self._cluster.remote))
        starting = list(self._starting)
        ready, _ = ray.wait(starting, num_returns=len(starting), timeout=_START_SECONDS) if starting else ([], [])
        self._awaited = True
        reason = self._admit(ready)
        if self._started:
            return
        if not self._cluster.requested or (starting and not self._starting and not self._retries):
            reason = reason or f"no slot was free within {_START_SECONDS:.0f} s"
            raise ExecutionError(f"no worker started on Ray: {reason}")
        self._report_once(
            f"{self._request.slots} slots were requested, and none is there yet: the run starts with the first"
        )

    def require_future_slots(self) -> None:
        """Make sure that a slot may still come, where there is none.

        Raises:
            ExecutionError: none will come.
        """
        if self._starting or self._retries:
            return
        if not self._cluster.remote:
            raise ExecutionError(
                "no slot is left to train on: fix what the messages above name, then run the study again"
            )
        if time.monotonic() > self._join_by:
            raise ExecutionError(self._request.no_slot_message(on_cluster=True))

    def close(self) -> None:
        """Kill all workers."""
        workers = [*self._started, *self._starting.values()]
        self._started, self._starting, self._idle, self._retries = [], {}, deque(), []
        if self._cluster.reachable():
            for worker in workers:
                ray.kill(worker.actor, no_restart=True)

    def _add_nodes(self, nodes: Sequence[Node]) -> None:
        """Start a worker for every slot of the nodes that are new."""
        for node in nodes:
            if node.node_id in self._known_nodes:
                continue
            self._known_nodes.add(node.node_id)
            workers = [*self._started, *self._starting.values(), *(worker for _, worker in self._retries)]
            num_elsewhere = sum(self._request.counts(worker.slot) for worker in workers)
            slots = self._request.slots_of(node.resources, num_elsewhere)
            num_cpu = sum(slot.kind == "cpu" for slot in slots)
            for slot in slots:
                named = replace(slot, name=f"{slot.kind}-{next(self._numbers[slot.kind])}", node=node.name)
                share = self._request.gpu_share if slot.kind == "cuda" else 1 / num_cpu
                worker = WorkerSlot(named, node, self._new_actor(named, node), share)
                self._await_start(worker)
                worker.actor.warm_up.remote()  # its errors are not awaited: the first pack meets them again

    def _remove_node(self, node_id: str) -> None:
        self._started = [worker for worker in self._started if worker.node.node_id != node_id]
        self._idle = deque(worker for worker in self._idle if worker.node.node_id != node_id)
        self._starting = {ref: worker for ref, worker in self._starting.items() if worker.node.node_id != node_id}
        self._retries = [(at, worker) for at, worker in self._retries if worker.node.node_id != node_id]
        self._known_nodes.discard(node_id)

    def _await_start(self, worker: WorkerSlot) -> None:
        self._starting[worker.actor.ready.remote(code_digest() if self._cluster.remote else None)] = worker

    def _new_actor(self, slot: Slot, node: Node) -> Any:
        on_gpu = slot.kind == "cuda"
        try:
            pickled = cloudpickle.dumps((self._work, slot))  # type: ignore[no-untyped-call]
        except Exception as error:  # of any kind: an activation of the user may hold anything
            raise ExecutionError(f"the work cannot be sent to the workers: {type(error).__name__}: {error}") from None
        options: dict[str, Any] = {
            "num_cpus": 0 if on_gpu else 1,
            "num_gpus": self._request.gpu_share if on_gpu else 0,
            "max_restarts": 0,
            "max_task_retries": 0,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node.node_id, soft=False),
            "concurrency_groups": {WATCHING: 1},
        }
        actor = ray.remote(**options)(Worker)
        folder = str(Path.cwd())
        return actor.remote(pickled, folder, [path or folder for path in sys.path])

    def _admit(self, ready: Sequence[Any]) -> str | None:
        """Make started workers idle; why the last of those that cannot work does not, as the end of a sentence."""
        reason = None
        for reference in ready:
            worker = self._starting.pop(reference)
            kind = "GPU" if worker.slot.kind == "cuda" else "CPU"
            try:
                why_unusable, free_bytes = ray.get(reference)
            except RayError as error:
                reason = f"node {worker.node.name} cannot start one on a {kind}: {str(error).strip().splitlines()[-1]}"
                self._retries.append((time.monotonic() + _RETRY_SECONDS, worker))
                self._report_once(f"a worker did not start: {reason}. Trying again every {_RETRY_SECONDS:.0f} s")
                continue
            if why_unusable is not None:
                ray.kill(worker.actor, no_restart=True)
                reason = f"node {worker.node.name} cannot train on its {kind}: {why_unusable}"
                self._report_once(f"{reason}. Its {kind} slots are not used: to use them, fix this and run again")
                continue
            if free_bytes is not None and worker.slot.memory is None:  # a restart sees what its neighbours have taken
                memory = int(FREE_MEMORY_SHARE * worker.memory_share * free_bytes)
                worker.slot = replace(worker.slot, memory=memory)
            self._join_by = math.inf  # a node has come: from now on nodes may go and come again
            self._started.append(worker)
            self._idle.append(worker)
        self._started.sort(
            key=lambda worker: (worker.slot.kind != "cuda", int(worker.slot.name.rpartition("-")[2])),
        )
        return reason

    def _report_once(self, sentence: str) -> None:
        if sentence not in self._reported:  # the slots of a node, and every new try, have the same to say
            self._reported.add(sentence)
            self._report(sentence)
