"""How long a child process has run and computed: one that computes is busy, however long the machine makes it wait."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import psutil

from gradstab.system.load import busy_text

_IDLE_SHARE = 0.01  # of the time, below which a process does nothing; 20 others on 2 cores leave it a tenth


@dataclass(frozen=True)
class Limits:
    """Seconds that a child may take.

    Attributes:
        computing: of CPU time, its own and that of processes that it started.
        idle: without computing.
        wall: in all, whatever it does: time passes on a busy machine, too.
    """

    computing: float = 120.0
    idle: float = 120.0
    wall: float = 900.0


class ChildClock:
    """Watches one child, whenever it is asked.

    Attributes:
        reason: in which way the child took too long, once it did, and what to do.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._began = self._busy_at = time.monotonic()
        self._computed = self._busy_computed = 0.0
        self.reason = ""

    def is_over(self, pid: int) -> bool:
        """Whether the child has passed a limit."""
        now, limits = time.monotonic(), self._limits
        self._computed = max(self._computed, _cpu_seconds(pid))  # a process takes its time with it when it ends
        if self._computed - self._busy_computed >= _IDLE_SHARE * limits.idle:
            self._busy_at, self._busy_computed = now, self._computed
        took = now - self._began
        numbers = f"took {took:.0f} s, of which {self._computed:.0f} s were computing"
        if self._computed >= limits.computing:
            self.reason = f"took longer ({numbers}): make the largest module smaller, or load less data"
        elif now - self._busy_at >= limits.idle:
            self.reason = f"did nothing for {limits.idle:.0f} s ({numbers}): see what they wait for, as a download"
        elif took >= limits.wall:
            busy = busy_text(1)  # it wants a core
            numbers += f", and {busy}" if busy else ""
            self.reason = f"{numbers}: try again, or make the largest module smaller, or load less data"
        return bool(self.reason)


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process and of all that it started."""
    total = 0.0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                spent = one.cpu_times()
                total += spent.user + spent.system + spent.children_user + spent.children_system
    return total
