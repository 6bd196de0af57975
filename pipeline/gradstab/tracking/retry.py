"""Calls to an MLflow that may be away: they are repeated while the driver lives, and give up when it has ended."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TypeVar

from gradstab.system.child_process import ParentPipe
from gradstab.system.proxies import without_pages
from gradstab.system.retry import Retry
from gradstab.system.storage_url import Tracking
from gradstab.tracking.sqlite_trouble import sqlite_trouble

Result = TypeVar("Result")

PAUSES = (0.5, 15.0)
LONGEST_PAUSE_FINISHING_S = 1.0


class GaveUpError(Exception):
    """The store cannot be reached, and the driver is gone or has no patience left."""


class RetryWhileDriven:
    """Repeats calls until they succeed: for as long as the driver lives, and for its patience once it asks to finish.

    Patience is counted from the first attempt of the call, and from the moment at which the driver asked to finish.

    Args:
        driver: the pipe to the driver.
        unreachable: errors that mean "not now". All others are passed on.
        report: called with one sentence when a call fails, and with None when one succeeds after that.
        tracking: the store that is called, for the sentence.
    """

    def __init__(
        self,
        driver: ParentPipe,
        unreachable: tuple[type[Exception], ...],
        report: Callable[[str | None], None],
        tracking: Tracking | None = None,
    ) -> None:
        self._tracking = tracking
        self._driver = driver
        self._unreachable = unreachable
        self._retry = Retry(
            unreachable,
            self._give_up_at,
            PAUSES,
            on_failure=lambda error, _: report(short_reason(error, tracking)),
            on_recovery=lambda _: report(None),
            sleep=self._sleep,
        )

    def __call__(self, call: Callable[[], Result]) -> Result:
        """The result of a call.

        Raises:
            GaveUpError: the driver died, or its patience is over.
        """
        try:
            return self._retry(call)
        except self._unreachable as error:
            raise GaveUpError(short_reason(error, self._tracking)) from error

    def _give_up_at(self, began: float) -> float:
        if self._driver.patience is not None:
            return max(began, self._driver.finishing_since) + self._driver.patience
        return -math.inf if self._driver.gone else math.inf

    def _sleep(self, seconds: float) -> None:
        finishing = self._driver.patience is not None
        self._driver.wait(min(seconds, LONGEST_PAUSE_FINISHING_S) if finishing else seconds)


def short_reason(error: Exception, tracking: Tracking | None = None) -> str:
    """The first line of an error in at most 300 characters, without a URI's password and without a web page."""
    if (trouble := sqlite_trouble(error, tracking)) is not None:
        return trouble
    first = without_pages(str(error)).strip().partition("\n")[0] or type(error).__name__
    if "error code 401" in first:
        return (
            "MLflow refuses the user and password that are set here: set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD"
        )
    first = re.sub(r"//[^/@\s]*:[^/@\s]*@", "//***@", first)
    asked = re.match(r"API request to (\S+?)/(?:ajax-)?api/\S* failed with exception (.*)", first)
    if asked is None:
        return first[:300]
    place, cause = asked.groups()
    reason = re.search(r"\[Errno -?\d+\] ([^'\")\]]+)|timed out", cause)
    came = cause[:150] if reason is None else reason.group(1) or reason.group(0)
    return f"MLflow does not answer at {place} ({came}): is the address right, and does the server run?"
