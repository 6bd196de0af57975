"""Ctrl-C and SIGTERM during a run: trials in flight that end soon finish, and the next run trains the others."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from gradstab.errors import UsageError

if TYPE_CHECKING:
    from gradstab.session.drive import StopSwitch

DRAIN_SECONDS = 30.0  # seconds from SIGTERM to the end, as clouds and Kubernetes grant them
_FOR_TRAINING = 0.7  # share of them for training; the rest is for records and MLflow


def drain_seconds() -> float:
    """Seconds from SIGTERM to the end, from the environment.

    Raises:
        UsageError: GRADSTAB_DRAIN_SECONDS is no number above 0.
    """
    given = os.environ.get("GRADSTAB_DRAIN_SECONDS", "")
    try:
        seconds = float(given or DRAIN_SECONDS)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise UsageError(f"GRADSTAB_DRAIN_SECONDS must be a number of seconds above 0, got {given!r}")
    return seconds


@contextlib.contextmanager
def interrupts_drain(stop: StopSwitch, tell: Callable[[str], None]) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM lets trials in flight end that soon will, SIGTERM within its grace.

    The second one exits at once.

    Args:
        tell: shows a sentence to the user, and may be called from a signal handler.
    """
    from gradstab.loop.runner import FINISH_SECONDS  # here, since it imports numpy

    at_once = False
    grace = drain_seconds()

    def interrupted(signum: int, frame: FrameType | None) -> None:
        nonlocal at_once
        del frame
        if stop.requested:
            at_once = True
            raise KeyboardInterrupt
        if signum == signal.SIGTERM:
            signal.setitimer(signal.ITIMER_REAL, grace)
            stop(_FOR_TRAINING * grace)
            tell(f"stopping within {grace:g} s: trials in flight that end soon finish")
        else:
            stop()  # armed before the user can read that a second one exits
            tell(
                f"stopping: trials in flight that end within {FINISH_SECONDS:g} s finish\n(Ctrl-C again exits at once)"
            )

    previous: dict[int, Callable[..., Any] | int | None] = {
        number: signal.signal(number, interrupted) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    }
    try:
        yield
    except Exception:
        if at_once:  # a library may have turned the interrupt into its own error
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)
