"""Standard streams of a process that a service manager or a shell has started without them."""

from __future__ import annotations

import os
import sys


def open_closed_streams() -> None:
    """Connect standard streams that are closed to the null device.

    Python has None in their place, which has no `write`. And the system would give their numbers to the next files that
    are opened, such as a database, into which a child process would then write its messages.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)
        os.set_inheritable(number, True)
        mode = "r" if name == "stdin" else "w"
        setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  # lives as long as the process
