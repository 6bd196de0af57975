"""Calls to a storage whose server may be away for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gradstab.search.postgresql import AwayError
from gradstab.search.storages import storage_errors
from gradstab.system.retry import Retry
from gradstab.system.storage_url import Storage

Result = TypeVar("Result")

PATIENCE_SECONDS = 180.0
PAUSES = (0.2, 5.0)


class RetryWhileAway:
    """Makes calls to a storage, and makes one again while its server is away: each must be safe to make twice.

    Args:
        seconds: how long a server may be away.
        report: called with one sentence when the server goes away and with one when it is back.
    """

    def __init__(self, storage: Storage, seconds: float, report: Callable[[str], None]) -> None:
        def report_failure(error: Exception, failures: int) -> None:
            if failures == 1:
                reason = error.reason if isinstance(error, AwayError) else error
                report(f"storage is away and will be tried for {seconds:.0f} s: {reason}")

        self._storage = storage
        self._retry = Retry(
            AwayError,
            lambda began: began + seconds,
            PAUSES,
            on_failure=report_failure,
            on_recovery=lambda waited: report(f"storage is back after {waited:.0f} s"),
        )

    def __call__(self, call: Callable[[], Result]) -> Result:
        """The result of a call.

        Raises:
            StorageError: the storage cannot be used, or was away for too long.
        """

        def guarded() -> Result:
            with storage_errors(self._storage):
                return call()

        return self._retry(guarded)
