"""CPU seconds of a run by its parts, seen from outside: what every process of its tree has used when last looked at.

What a process uses between the last look and its end is not seen: at most the time between two looks for each
process that ends. `unseen` says how much that was, except for Ray's workers: the kernel adds a process's time to that
of the parent that waits for it, and raylets do not wait for their workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psutil

PARTS = ("workers", "shipper", "driver", "Ray", "report", "other")
_RAY = ("gcs_server", "raylet", "/ray/dashboard/", "/ray/autoscaler/", "/ray/_private/", "ray::", "plasma_store")
_WORKER = "ray::Worker"
_LASTING = ("driver", "workers", "shipper", "report")  # what a process stays once it is that; Ray's may become workers


def part_of(command: Sequence[str], *, is_root: bool) -> str:
    """The part of a run that a process belongs to, by its command line."""
    line = " ".join(command)
    if is_root:
        return "driver"
    if line.startswith(_WORKER):
        return "workers"
    if any(mark in line for mark in _RAY):
        return "Ray"
    if "gradstab.tracking.shipper" in line:
        return "shipper"
    if "gradstab.report" in line:
        return "report"
    return "other"


@dataclass
class _Seen:
    """A process, its part of the run, whether its parent waits for it, and its CPU seconds at the last look."""

    process: psutil.Process
    part: str
    waited_for: bool
    seconds: float = 0.0


class TreeWatch:
    """Called with the number of a run's first process every now and then, as `run_child` does.

    Attributes:
        looks: how often it was called.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[int, float], _Seen] = {}
        self._root: int | None = None
        self.looks = 0

    def __call__(self, root: int) -> None:
        self._root = root
        self.looks += 1
        try:
            first = psutil.Process(root)
            present = [first, *first.children(recursive=True)]
        except psutil.Error:
            return
        for process in present:
            key = (process.pid, process.create_time())
            if key not in self._seen:
                self._seen[key] = _Seen(process, "other", waited_for=not _is_child_of_raylet(process))
        for seen in self._seen.values():  # those too whose parent has ended before them
            self._look_at(seen)

    def seconds(self) -> dict[str, float]:
        """CPU seconds by part."""
        total = dict.fromkeys(PARTS, 0.0)
        for seen in self._seen.values():
            total[seen.part] += seen.seconds
        return total

    def unseen(self, total: float) -> float:
        """CPU seconds that no look saw, of `total` of the root and all processes that were waited for."""
        return max(0.0, total - sum(seen.seconds for seen in self._seen.values() if seen.waited_for))

    def _look_at(self, seen: _Seen) -> None:
        try:
            times = seen.process.cpu_times()
            seen.seconds = times.user + times.system
            if seen.part not in _LASTING:  # between fork and exec a process has its parent's command line
                is_root = seen.process.pid == self._root
                seen.part = part_of(seen.process.cmdline(), is_root=is_root)
        except psutil.Error:
            return


def _is_child_of_raylet(process: psutil.Process) -> bool:
    try:
        parent = process.parent()
        return parent is not None and parent.name() == "raylet"
    except psutil.Error:
        return False
