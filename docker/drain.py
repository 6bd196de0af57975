"""Asks every driver of a study in this container to drain, and waits until they have ended.

Outside of a container it would stop every study on the machine.

A driver that gets SIGTERM finishes the trials in flight that end soon, within GRADSTAB_DRAIN_SECONDS (30), and ships
its results. Its next run continues the study.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from itertools import pairwise
from pathlib import Path

SECONDS_BESIDE_THE_DRAIN = 15.0  # for the record, the shipper and the end of the process


def drivers(processes: Path) -> list[int]:
    """Numbers of the processes that run `gradstab run`, of those that a folder like /proc shows."""
    found = []
    for path in processes.glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # the process has ended meanwhile
            words = path.read_bytes().decode(errors="replace").split("\0")
            programs = {f"{Path(word).name} {following}" for word, following in pairwise(words)}
            if "gradstab run" in programs and Path(words[0]).name.startswith("python"):
                found.append(int(path.parent.name))
    return found


def main(processes: Path) -> None:
    """Ask, and wait for no longer than a drain takes.

    Args:
        processes: a folder like /proc. A container's own shows its own processes alone.
    """
    for number in drivers(processes):
        with contextlib.suppress(OSError):
            os.kill(number, signal.SIGTERM)
    end = time.monotonic() + float(os.environ.get("GRADSTAB_DRAIN_SECONDS", "30")) + SECONDS_BESIDE_THE_DRAIN
    while drivers(processes) and time.monotonic() < end:
        time.sleep(0.2)


if __name__ == "__main__":
    main(Path("/proc"))
