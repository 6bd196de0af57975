"""Fault injection for tests: a process kills itself at a planted point, as ``kill -9`` at that moment would.

``GRADSTAB_KILL_AT=create_run:3`` ends the process with SIGKILL at its third passage of the point named
``create_run``. Without the variable a passage is one comparison.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "GRADSTAB_KILL_AT"

_name, _, _count = os.environ.get(VARIABLE, "").partition(":")
_left = int(_count or 1)


def failpoint(name: str) -> None:
    """Mark a point where a kill must do no harm; here the process dies if the variable names this passage."""
    global _left  # noqa: PLW0603 - the count of passages belongs to the process
    if name != _name:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
