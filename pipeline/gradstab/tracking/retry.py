"""Calls to a store that may be away: again and again while the driver lives, and how that ends."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import TextIO, TypeVar

Result = TypeVar("Result")

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
LONGEST_PAUSE_FINISHING_S = 1.0


class GaveUpError(Exception):
    """The driver is gone, or its patience is spent, and the store cannot be reached."""


class DriverEnd:
    """The driver as the shipper sees it: a pipe that says ``finish SECONDS``, or breaks.

    Attributes:
        gone: the pipe is at its end: the driver died, or has said all.
        patience: seconds without progress after which to give up, once the driver said ``finish``; else None.
    """

    def __init__(self) -> None:
        self.gone = False
        self.patience: float | None = None
        self.finishing_since = 0.0
        self._changed = threading.Event()

    @property
    def closing(self) -> bool:
        return self.gone or self.patience is not None

    def listen(self, stream: TextIO) -> None:
        """Read the pipe to its end in a thread of its own."""
        threading.Thread(target=self._read, args=(stream,), name="driver", daemon=True).start()

    def say_finish(self, patience: float) -> None:
        self.finishing_since = time.monotonic()
        self.patience = patience
        self._changed.set()

    def hang_up(self) -> None:
        self.gone = True
        self._changed.set()

    def wait(self, seconds: float) -> None:
        """Sleep, but wake at once when the driver says something new."""
        if self._changed.wait(seconds):
            self._changed.clear()

    def _read(self, stream: TextIO) -> None:
        for line in stream:
            word, _, seconds = line.strip().partition(" ")
            if word == "finish":
                self.say_finish(float(seconds or 0))
        self.hang_up()


class Retry:
    """Runs calls until they succeed.

    Args:
        driver: decides how long to go on.
        unreachable: errors that mean "not now"; all others pass through.
        report: told one sentence when a call fails, and None when one succeeds after that.
    """

    def __init__(
        self, driver: DriverEnd, unreachable: tuple[type[Exception], ...], report: Callable[[str | None], None]
    ) -> None:
        self._driver = driver
        self._unreachable = unreachable
        self._report = report
        self._progress_at = time.monotonic()
        self._failing = False

    def __call__(self, call: Callable[[], Result]) -> Result:
        """The result of a call.

        Raises:
            GaveUpError: see DriverEnd.
        """
        pause = FIRST_PAUSE_S
        while True:
            try:
                result = call()
            except self._unreachable as error:
                self.failed(error, pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
            else:
                self._progress_at = time.monotonic()
                if self._failing:
                    self._failing = False
                    self._report(None)
                return result

    def failed(self, error: Exception, pause: float) -> None:
        """Report a failure and sleep, or give up."""
        self._failing = True
        self._report(sentence(error))
        driver = self._driver
        if driver.patience is not None:
            waited = time.monotonic() - max(self._progress_at, driver.finishing_since)
            if waited >= driver.patience:
                raise GaveUpError(sentence(error)) from error
            pause = min(pause, LONGEST_PAUSE_FINISHING_S, driver.patience - waited)
        elif driver.gone:
            raise GaveUpError(sentence(error)) from error
        driver.wait(pause)


def sentence(error: Exception) -> str:
    """The first line of an error, short, without the password that a URI in it may hold."""
    first = str(error).strip().partition("\n")[0] or type(error).__name__
    if "error code 401" in first:
        return (
            "MLflow must be given a user and password that it knows, but it refuses ours: set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    first = re.sub(r"//[^/@\s]*:[^/@\s]*@", "//***@", first)
    asked = re.match(r"API request to (\S+?)/(?:ajax-)?api/\S* failed with exception (.*)", first)
    if asked is None:
        return first[:300]
    place, cause = asked.groups()
    reason = re.search(r"\[Errno -?\d+\] ([^'\")\]]+)|timed out", cause)
    came = cause[:150] if reason is None else reason.group(1) or reason.group(0)
    return f"MLflow does not answer at {place} ({came}): is the address right, and the server up?"
