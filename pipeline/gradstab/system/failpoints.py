"""Fault injection for tests: a process kills itself at a chosen point of the program, as ``kill -9`` would.

``GRADSTAB_KILL_AT=create_run:3`` ends the process with SIGKILL the third time that it reaches the point ``create_run``.
Without the variable, reaching a point costs one comparison.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "GRADSTAB_KILL_AT"

_name, _, _count = os.environ.get(VARIABLE, "").partition(":")
_left = int(_count or 1)


def failpoint(name: str) -> None:
    """Mark a point at which a kill must do no harm. The process dies here if the variable asks for it."""
    global _left  # noqa: PLW0603 - the whole process shares one count
    if name != _name:
        return
    _left -= 1
    if _left == 0:
        os.write(2, f"{VARIABLE}: killed at {name}\n".encode())  # what no flush of ours would follow
        os.kill(os.getpid(), signal.SIGKILL)
