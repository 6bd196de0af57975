"""Asks every driver of a study in this container to drain, and waits until they have ended.

It acts in a container of gradstab's image alone, and on that container's processes: elsewhere it would stop the studies
of everybody on the machine.

A driver that gets SIGTERM finishes the trials in flight that end soon, within GRADSTAB_DRAIN_SECONDS (30), and ships
its results. Its next run continues the study.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

SECONDS_BESIDE_THE_DRAIN = 15.0  # for the record, the shipper and the end of the process
MARK = "GRADSTAB_CONTAINER"  # the Dockerfile sets it


def drivers(processes: Path) -> list[int]:
    """Numbers of this container's processes that run `gradstab run`, of those that a folder like /proc shows.

    A container that shares the machine's processes sees those of others too. Files are its own in any case, so what
    counts is who has the same ones.
    """
    mine = Path("/proc/self/ns/mnt").readlink()
    found = []
    for path in processes.glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # the process has ended meanwhile, or is another user's
            if (path.parent / "ns" / "mnt").readlink() != mine:
                continue
            words = path.read_bytes().decode(errors="replace").split("\0")
            programs = {f"{Path(word).name} {following}" for word, following in pairwise(words)}
            if "gradstab run" in programs and Path(words[0]).name.startswith("python"):
                found.append(int(path.parent.name))
    return found


def main(processes: Path, environment: Mapping[str, str]) -> None:
    """Ask, and wait for no longer than a drain takes.

    Args:
        processes: a folder like /proc.
    """
    if not environment.get(MARK):
        sys.exit(f"drain.py must run in a container of gradstab's image, where {MARK} is set; press Ctrl-C elsewhere")
    for number in drivers(processes):
        with contextlib.suppress(OSError):
            os.kill(number, signal.SIGTERM)
    end = time.monotonic() + float(environment.get("GRADSTAB_DRAIN_SECONDS", "30")) + SECONDS_BESIDE_THE_DRAIN
    while drivers(processes) and time.monotonic() < end:
        time.sleep(0.2)


if __name__ == "__main__":
    main(Path("/proc"), os.environ)
