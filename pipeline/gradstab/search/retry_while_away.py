"""Calls to a storage that may be away for a while: again and again, until patience is spent."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from gradstab.search.postgresql import AwayError
from gradstab.search.storages import storage_errors

Result = TypeVar("Result")

PATIENCE_SECONDS = 180.0
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0


class RetryWhileAway:
    """Runs calls, and runs one again whose server went away: each must be safe to make twice.

    Args:
        url: the storage's URL, for sentences.
        seconds: for how long a server may be away.
        report: told one sentence when it goes and one when it is back.
    """

    def __init__(self, url: str, seconds: float, report: Callable[[str], None]) -> None:
        self._url = url
        self._seconds = seconds
        self._report = report

    def __call__(self, call: Callable[[], Result]) -> Result:
        """The result of a call.

        Raises:
            StorageError: the storage cannot be used, or was away for longer than patience lasts.
        """
        away_since: float | None = None
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                with storage_errors(self._url):
                    result = call()
            except AwayError as error:
                if away_since is None:
                    away_since = time.monotonic()
                    self._report(f"storage is away and will be tried for {self._seconds:.0f} s: {error.reason}")
                if time.monotonic() - away_since > self._seconds:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                if away_since is not None:
                    self._report(f"storage is back after {time.monotonic() - away_since:.0f} s")
                return result
