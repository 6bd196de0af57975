"""The Ray that an executor works on: started in this process, or a cluster whose nodes come and go."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from gradstab.execution.ray_connection import connect

# isort: split
# after ray_connection, which sets what Ray reads when it is imported
import ray
from ray.autoscaler.sdk import request_resources

from gradstab.errors import GradstabError
from gradstab.execution.cluster_address import require_reachable
from gradstab.execution.slot_request import SlotRequest

_REFRESH_SECONDS = 2.0  # how old the list of nodes may become
_HEAD_PATIENCE = 20.0  # seconds that the head may be silent: one that is restarted is back within them


class ClusterLostError(GradstabError):
    """The cluster's head is gone; the results so far are safe."""

    exit_code = 4
    at_once = True  # the process ends without Ray's shutdown, which may hang where the head hangs


@dataclass(frozen=True)
class Node:
    """A machine of the cluster: Ray's id of it, its name for the user, and its resources."""

    node_id: str
    name: str
    resources: dict[str, float]


class Cluster:
    """A connection to Ray, and the nodes that are alive.

    Args:
        address: of a running Ray cluster ("auto" finds one on this machine); None starts Ray in this process. The
            environment's RAY_ADDRESS is not read.

    Attributes:
        dashboard: URL of the cluster's dashboard; empty where there is none.
        remote: whether nodes may join and leave.
        requested: whether slots were requested from the cluster's autoscaler, if it has one.

    Raises:
        ExecutionError: the cluster cannot be reached, or refuses the connection.
    """

    def __init__(self, address: str | None, request: SlotRequest) -> None:
        self._owns_ray = not ray.is_initialized()
        self.remote = address is not None
        self.requested = False
        self.dashboard = connect(address, request) if self._owns_ray else ""
        self._head = _head_address(address) if self.remote else ""
        self._refreshed = time.monotonic()
        self._answered = self._refreshed if self.remote else math.inf
        self._nodes = _alive_nodes()
        if self.remote and request.slots is not None:
            request_resources(bundles=request.autoscaler_bundles())
            self.requested = True

    def nodes(self, *, now: bool = False) -> list[Node]:
        """The nodes that are alive: as of the last few seconds, or as of `now`.

        Raises:
            ClusterLostError: the head has not answered for a while.
        """
        if self.remote and (now or time.monotonic() - self._refreshed > _REFRESH_SECONDS):
            self._refreshed = time.monotonic()
            self._refresh()
        return self._nodes

    def close(self) -> None:
        """Withdraw the request for slots, and leave Ray, or stop it where it was started here."""
        if not self.reachable():
            return
        if self.requested:
            request_resources(bundles=[])
            self.requested = False
        if self._owns_ray:
            ray.shutdown()

    def reachable(self) -> bool:
        """Whether Ray may be called: a call would wait for a head that is gone, and then end this process."""
        return time.monotonic() - self._answered <= _HEAD_PATIENCE

    def _refresh(self) -> None:
        """Ask the head for the nodes; keep the old list while it does not answer.

        Ray's own calls hang where the head is dead, also where it dies during the call.
        """
        try:
            require_reachable(self._head)
            nodes = _result_within(_HEAD_PATIENCE, _alive_nodes)
        except OSError as error:
            if not self.reachable():
                raise ClusterLostError(
                    f"the head of the Ray cluster at {self._head} does not answer: {error}. Results so far are safe: "
                    "start the cluster and run the study again"
                ) from None
            return
        self._answered = time.monotonic()
        self._nodes = nodes or self._nodes


def _alive_nodes() -> list[Node]:
    return [
        Node(node["NodeID"], node["NodeName"], node["Resources"])
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    ]


def _result_within(seconds: float, call: Callable[[], list[Node]]) -> list[Node]:
    """What `call` returns; TimeoutError where it takes longer, and its thread then lives as long as the process."""
    answer: Future[list[Node]] = Future()

    def put() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=put, daemon=True, name="nodes").start()
    try:
        return answer.result(seconds)
    except TimeoutError:
        raise TimeoutError(f"no answer within {seconds:.0f} s") from None


def _head_address(address: str | None) -> str:
    if address is not None and address.startswith("ray://"):
        return address
    return str(ray.get_runtime_context().gcs_address)
