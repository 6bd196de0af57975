"""The Ray that an executor works on: started in this process, or a cluster whose nodes come and go."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
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
from ray._private import ray_constants
from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR
from ray.autoscaler.sdk import request_resources
from ray.exceptions import RayError

from gradstab.errors import GradstabError
from gradstab.execution.cluster_address import require_reachable
from gradstab.loop.ports import Device, Slot

_OBJECT_STORE_BYTES = 512 * 2**20  # results of a few packs; Ray would reserve 30 % of the machine
_LOOK_SECONDS = 2.0  # between two looks at which nodes there are
_HEAD_PATIENCE = 20.0  # seconds that the head may not answer: one that is restarted comes back within
_RECONNECT = "RAY_gcs_rpc_server_reconnect_timeout_s"
_RAY_PATIENCE = 600  # seconds after which Ray ends a process that waits for a dead head: time for our own end


class ExecutionError(GradstabError):
    """No worker could be had."""


class ClusterLostError(GradstabError):
    """The cluster's head is gone; results so far are safe."""

    exit_code = 4
    at_once = True  # Ray would say goodbye to the head, which may hang instead of being gone


@dataclass(frozen=True)
class SlotRequest:
    """Which slots a run wants.

    Attributes:
        slots: at most so many, of GPUs where only GPUs are wanted and else of CPUs; None takes all there are.
        device: "cpu", "gpu", or "any" for both side by side.
        gpu_share: part of a GPU that a slot takes.
        threads: of a CPU slot.
    """

    slots: int | None = None
    device: Device = "any"
    gpu_share: float = 1.0
    threads: int = 1

    def on(self, resources: dict[str, float], taken: int = 0) -> list[Slot]:
        """Slots that a node with these resources offers, GPUs first, where `taken` are had elsewhere."""
        num_cpu = int(resources.get("CPU", 0)) // self.threads
        num_gpu = int(resources.get("GPU", 0)) * int(1 / self.gpu_share + 1e-9)
        left = None if self.slots is None else max(0, self.slots - taken)
        if self.device == "gpu":
            num_cpu, num_gpu = 0, num_gpu if left is None else min(left, num_gpu)
        else:
            num_cpu, num_gpu = num_cpu if left is None else min(left, num_cpu), num_gpu if self.device == "any" else 0
        cpu = [Slot(f"cpu-{i}", "cpu", self.threads) for i in range(num_cpu)]
        return [*(Slot(f"cuda-{i}", "cuda", 1) for i in range(num_gpu)), *cpu]

    def counts(self, slot: Slot) -> bool:
        """Whether a slot counts against `slots`."""
        return (slot.kind == "cuda") == (self.device == "gpu")

    def unmet(self, remote: bool) -> str:
        """The sentence for a machine, or a cluster, that has no slot of this kind."""
        what = {"gpu": "GPU", "cpu": "CPU", "any": "CPU or GPU"}[self.device]
        if not remote:
            return f"this machine must have a {what}, but Ray finds none: name a cluster (--address) or another device"
        if self.slots is None:
            remedy = "start a worker node with one, or set resources.slots, which is what an autoscaler is asked for"
        else:
            remedy = (
                f"{self.slots} were asked for and none joined: start a worker node, or see what the autoscaler says"
            )
        return f"the Ray cluster must offer at least one {what}, but it has none: {remedy}"

    def bundles(self) -> list[dict[str, float]]:
        """What the autoscaler is asked for: a bundle a slot."""
        bundle = {"GPU": self.gpu_share} if self.device == "gpu" else {"CPU": float(self.threads)}
        return [bundle] * (self.slots or 0)


@dataclass(frozen=True)
class Node:
    """A machine of the cluster: Ray's id of it, a name for people, and what it has."""

    node_id: str
    name: str
    resources: dict[str, float]


class Cluster:
    """A connection to Ray, and its nodes as they are now.

    Args:
        address: of a running Ray cluster ("auto" finds one here); None starts Ray in this process. The environment's
            RAY_ADDRESS is not read.

    Attributes:
        dashboard: URL of the cluster's dashboard; empty where there is none.
        remote: whether nodes may join and leave.
        asked: whether an autoscaler, if there is one, was asked for slots.

    Raises:
        ExecutionError: the cluster cannot be reached, or does not fit.
    """

    def __init__(self, address: str | None, demand: SlotRequest) -> None:
        self._owns_ray = not ray.is_initialized()
        self.remote = address is not None
        self.asked = False
        self.dashboard = ""
        if self._owns_ray:
            with _signals_kept():
                self.dashboard = _connect(address, demand)
        self._head = _head_of(address) if self.remote else None
        self._looked = time.monotonic()
        self._answered = self._looked if self.remote else math.inf
        self._nodes = self._alive()
        if self.remote and demand.slots is not None:
            request_resources(bundles=demand.bundles())
            self.asked = True

    def nodes(self, *, now: bool = False) -> list[Node]:
        """Nodes that are alive, as of the last few seconds or `now`.

        Raises:
            ClusterLostError: the head has not answered for a while.
        """
        if self.remote and (now or time.monotonic() - self._looked > _LOOK_SECONDS):
            self._looked = time.monotonic()
            self._nodes = self._asked_head() or self._nodes
        return self._nodes

    def close(self) -> None:
        """Let go of what was asked for, and of Ray where it was started or joined here."""
        if not self.reachable():
            return
        if self.asked:
            request_resources(bundles=[])
            self.asked = False
        if self._owns_ray:
            ray.shutdown()

    def reachable(self) -> bool:
        """Whether Ray may be called: it would wait for a head that is gone, and then end this process."""
        return time.monotonic() - self._answered <= _HEAD_PATIENCE

    def _asked_head(self) -> list[Node] | None:
        """Nodes that are alive; None while the head does not answer.

        Ray's own calls hang on a head that is dead, also on one that dies as it is asked.
        """
        try:
            require_reachable(self._head or "")
            alive = _within(_HEAD_PATIENCE, self._alive)
        except OSError as error:
            if time.monotonic() - self._answered > _HEAD_PATIENCE:
                raise ClusterLostError(
                    f"the head of the Ray cluster at {self._head} must answer, but: {error}. Results so far are safe: "
                    "start the cluster and run again"
                ) from None
            return None
        self._answered = time.monotonic()
        return alive

    @staticmethod
    def _alive() -> list[Node]:
        return [
            Node(node["NodeID"], node["NodeName"], node["Resources"])
            for node in ray.nodes()  # type: ignore[no-untyped-call]
            if node["Alive"]
        ]


def _within(seconds: float, ask: Callable[[], list[Node]]) -> list[Node]:
    """What `ask` returns; a TimeoutError when it takes longer, and then its thread ends with the process."""
    answer: Future[list[Node]] = Future()

    def put() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=put, daemon=True, name="nodes").start()
    try:
        return answer.result(seconds)
    except TimeoutError:
        raise TimeoutError(f"it said nothing for {seconds:.0f} s") from None


def _head_of(address: str | None) -> str:
    if address is not None and address.startswith("ray://"):
        return address
    return str(ray.get_runtime_context().gcs_address)


def _connect(address: str | None, demand: SlotRequest) -> str:
    """Join the cluster at an address, or start Ray here; the dashboard's URL where there is one."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address is not None:
        if RAY_JOB_CONFIG_JSON_ENV_VAR not in os.environ:  # a submitted job has brought this package
            quiet["runtime_env"] = {"py_modules": [str(Path(__file__).parent.parent)], "excludes": ["__pycache__"]}
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "error")  # else each refused attempt is a line of its own
        try:
            require_reachable(address)
            with _ray_patient():
                joined = ray.init(address=address, **quiet)
        except (ConnectionError, OSError, RayError, RuntimeError, ValueError) as error:
            raise ExecutionError(_not_taken(address, error)) from None
        return f"http://{joined.dashboard_url}" if joined.dashboard_url else ""
    with _loopback_only():
        ray.init(
            address="local",  # never a cluster that happens to be in RAY_ADDRESS
            num_cpus=None if demand.slots is None else demand.slots * demand.threads,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            **quiet,
        )
    return ""


def _not_taken(address: str, error: Exception) -> str:
    """One sentence on why a cluster did not take us; a wrong token ends as a failure to connect, though it listens."""
    said = str(error)
    if "no authentication token was found" in said:
        return (
            f"the Ray cluster at {address!r} must be shown its token, but there is none here: set RAY_AUTH_TOKEN, or "
            "RAY_AUTH_TOKEN_PATH to a file that holds it"
        )
    if isinstance(error, ConnectionError) and "Failed to connect to Ray" in said:
        return (
            f"the Ray cluster at {address!r} must take us, but it listens and does not: set RAY_AUTH_MODE=token and "
            "RAY_AUTH_TOKEN to the cluster's own token, and check that its Ray has our version"
        )
    reason = " ".join(said.partition(" Note: ")[0].split())[:300] or type(error).__name__
    return f"a Ray cluster must answer at {address!r}, but: {reason}. Start it, or leave the address out"


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Our handlers hold again afterwards: Ray puts its own in their place, which end the process on SIGTERM."""
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:  # else it was set outside Python
                signal.signal(number, handler)


@contextmanager
def _ray_patient() -> Iterator[None]:
    """Ray joined here leaves it to `Cluster` to notice a dead head, and does not end this process after a minute.

    Processes that are started later do not inherit that: Ray's own must end without a head.
    """
    if _RECONNECT in os.environ:
        yield
        return
    os.environ[_RECONNECT] = str(_RAY_PATIENCE)
    try:
        yield
    finally:
        del os.environ[_RECONNECT]


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
