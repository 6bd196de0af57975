"""Whether other processes leave a run the cores that it wants."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

_RUNNABLE = Path("/proc/loadavg")
_LOOKS, _PAUSE_S = 5, 0.02


def busy_text(wanted: int) -> str | None:
    """Which cores other processes keep busy, if they leave fewer than `wanted` free; else None.

    The load average of the last minute counts, as far as as many processes want to run now: it stays high for a while
    after a run that has ended. Only Linux tells how many want to run.
    """
    seen = os.cpu_count() or 1
    try:
        load = os.getloadavg()[0]
    except OSError:  # the kernel does not say
        return None
    if round(load) <= seen - wanted:
        return None
    busy = min(seen, round(load), max(_running(), default=seen))
    return f"other processes keep {busy} of {seen} cores busy" if busy > seen - wanted else None


def _running() -> list[int]:
    """How many other processes want to run, at a few moments; nothing where the kernel does not tell."""
    found: list[int] = []
    with suppress(OSError, ValueError, IndexError):
        for _ in range(_LOOKS):
            found.append(int(_RUNNABLE.read_text().split()[3].partition("/")[0]) - 1)  # this process runs, too
            time.sleep(_PAUSE_S)
    return found
