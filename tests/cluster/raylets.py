"""A Ray cluster whose nodes are raylets of this machine: killed and added as machines of a real one are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
from ray.cluster_utils import Cluster

_STORE_BYTES = 100 * 2**20


class Raylets:
    """A head and `workers` further nodes, each of `cpus` declared CPUs.

    Args:
        head: more of the head, as Ray names it: `ray_client_server_port`, `dashboard_port`.
    """

    def __init__(self, workers: int, cpus: int, **head: object) -> None:
        self._cpus = cpus
        head = {"num_cpus": cpus, "object_store_memory": _STORE_BYTES, **head}
        self._cluster: Any = Cluster(initialize_head=True, head_node_args=head)
        self._workers: list[Any] = []
        for _ in range(workers):
            self.add()
        self.address = str(self._cluster.address)

    def add(self, **more: object) -> None:
        """A node joins; `more` of it as Ray names it: `num_gpus`, which are declared and need not exist, `node_name`."""
        wanted = {"num_cpus": self._cpus, "object_store_memory": _STORE_BYTES, "wait": False, **more}
        node = self._cluster.add_node(**wanted)
        self._workers.append(node)

    def kill(self, which: int = 0) -> None:
        """A node goes without a word: its raylet is killed with SIGKILL, and its workers die of that."""
        self._cluster.remove_node(self._workers.pop(which), allow_graceful=False)

    @property
    def num_workers(self) -> int:
        return len(self._workers)

    def actors(self) -> list[psutil.Process]:
        """Worker processes of a study on these nodes."""
        return [
            process for process in psutil.Process().children(recursive=True) if _title(process) == "ray::Worker.run"
        ]

    def close(self) -> None:
        self._cluster.shutdown()


def _title(process: psutil.Process) -> str:
    try:
        return next(iter(process.cmdline()), "")
    except psutil.NoSuchProcess:
        return ""


@contextmanager
def raylets(workers: int, cpus: int, **head: object) -> Iterator[Raylets]:
    """A cluster that is taken down in the end, whatever happens; leaves no process."""
    cluster = Raylets(workers, cpus, **head)
    try:
        yield cluster
    finally:
        family = psutil.Process().children(recursive=True)
        cluster.close()
        deadline = time.monotonic() + 20
        while (alive := [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]) and (
            time.monotonic() < deadline
        ):
            time.sleep(0.2)
        for process in alive:
            process.kill()
