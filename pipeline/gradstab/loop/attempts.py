"""A durable log of failed packs, so that no restart forgets a trial that kills its workers."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gradstab.record.failure import Failure, FailureKind

FAILURES_BEFORE_HALVING = 2
FAILURES_ALONE = 2
NODE_LOSSES_FORGIVEN = 3
_SPLIT_AT_ONCE = (FailureKind.OUT_OF_MEMORY, FailureKind.HUNG)  # which the same pack would probably meet again


@dataclass
class _History:
    failures: int = 0
    alone: int = 0
    last_size: int = 0
    nodes_lost: int = 0
    split: bool = False


class AttemptLog:
    """Failures by trial number, appended to a file and synced.

    A pack that failed twice is halved, and halved again at each further failure, until the trial that causes them
    trains alone. A trial that failed alone twice has failed for good; the others of its pack go on. A pack that hung or
    ran out of memory is halved at once. A trial's first failures by the loss of a whole machine do not count.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._histories: dict[int, _History] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue  # a torn last line: the program was killed before the failure was recorded
                self._count(entry["numbers"], Failure.parse(entry.get("reason", "")).kind)

    def record_failure(self, numbers: Sequence[int], failure: Failure) -> None:
        """Record that a pack of these trials failed."""
        entry = {"numbers": list(numbers), "reason": str(failure), "time_ms": int(time.time() * 1000)}
        with self._path.open("a") as file:
            # a leading newline ends a line that was torn by a kill
            file.write(f"\n{json.dumps(entry)}\n")
            file.flush()
            os.fsync(file.fileno())
        self._count(numbers, failure.kind)

    def attempts(self, number: int) -> int:
        """How often the trial's pack has failed."""
        return self._histories.get(number, _History()).failures

    def largest_pack(self, number: int) -> int | None:
        """The largest pack that the trial may train in; None where any will do."""
        history = self._histories.get(number)
        if history is None or (history.failures < FAILURES_BEFORE_HALVING and not history.split):
            return None
        return max(1, history.last_size // 2)

    def has_failed(self, number: int) -> bool:
        """Whether the trial has failed for good."""
        return self._histories.get(number, _History()).alone >= FAILURES_ALONE

    def _count(self, numbers: Sequence[int], kind: FailureKind) -> None:
        for number in numbers:
            history = self._histories.setdefault(number, _History())
            if kind is FailureKind.NODE_LOST and history.nodes_lost < NODE_LOSSES_FORGIVEN:
                history.nodes_lost += 1
                continue
            history.failures += 1
            history.split |= kind in _SPLIT_AT_ONCE
            history.last_size = len(numbers)
            history.alone += len(numbers) == 1
