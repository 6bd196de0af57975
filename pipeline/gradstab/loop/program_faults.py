"""Faults of the user's program: one may be that of a rare trial, but equal ones tell that the next trials fail too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from gradstab.errors import UsageError
from gradstab.record.failure import FailureKind
from gradstab.record.segments import Record

MOST_EQUAL = 3


class ProgramFaults:
    """Counts equal faults of the user's program in one run."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def require_few(self, records: Iterable[Record]) -> None:
        """Count the faults among the records.

        Raises:
            UsageError: one has come three times.
        """
        for record in records:
            if record.failure is None or record.failure.kind is not FailureKind.PROGRAM:
                continue
            self._counts[record.failure.detail] += 1
            if self._counts[record.failure.detail] >= MOST_EQUAL:
                raise UsageError(
                    f"{record.failure.detail} ({MOST_EQUAL} trials, the last one number {record.number}). Mend it, and "
                    "run the study again with --retry-failed: what is recorded stays"
                )
