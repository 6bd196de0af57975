"""Calling again what has failed for a reason that may pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class Retry:
    """Makes a call again and again until it succeeds, or until it is time to give up. A call must be safe to repeat.

    Args:
        transient: errors that may pass. All others are passed on at once.
        give_up_at: the time at which to give up, given the time of the first attempt (both of `time.monotonic`;
            infinity means never). It is asked after each failure, so that the answer may change meanwhile.
        pauses: seconds between the first two attempts, which double up to the second number.
        on_failure: called after each failure with the error and how often the call has failed by now.
        on_recovery: called when a call succeeds after failures, with the seconds since its first attempt.
        sleep: what to do between two attempts, given the seconds.
    """

    def __init__(
        self,
        transient: type[Exception] | tuple[type[Exception], ...],
        give_up_at: Callable[[float], float],
        pauses: tuple[float, float],
        *,
        on_failure: Callable[[Exception, int], None] = lambda _error, _failures: None,
        on_recovery: Callable[[float], None] = lambda _seconds: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transient = transient
        self._give_up_at = give_up_at
        self._pauses = pauses
        self._on_failure = on_failure
        self._on_recovery = on_recovery
        self._sleep = sleep

    def __call__(self, call: Callable[[], Result]) -> Result:
        """The result of the call.

        Raises:
            Exception: the call's last error, when it is time to give up.
        """
        began, failures = time.monotonic(), 0
        pause, longest = self._pauses
        while True:
            try:
                result = call()
            except self._transient as error:
                failures += 1
                self._on_failure(error, failures)
                left = self._give_up_at(began) - time.monotonic()
                if left <= 0:
                    raise
                self._sleep(min(pause, left))
                pause = min(2 * pause, longest)
            else:
                if failures:
                    self._on_recovery(time.monotonic() - began)
                return result
