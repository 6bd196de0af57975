"""Attempts on record: how often a trial lost its worker, durable, so that no restart forgets a poisonous trial."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gradstab.record.failure import Failure, FailureKind

LOSSES_BEFORE_HALVING = 2
LOSSES_ALONE = 2
NODE_LOSSES_FORGIVEN = 3
_SPLIT_AT_ONCE = (FailureKind.OUT_OF_MEMORY, FailureKind.HUNG)  # which the same pack would probably meet again


@dataclass
class _History:
    losses: int = 0
    alone: int = 0
    last_size: int = 0
    nodes: int = 0
    split: bool = False


class AttemptLog:
    """Losses by trial number, appended to a file and synced.

    A pack that lost its worker twice is halved, and halved again at each further loss, until the trial that kills its
    workers stands alone; lost alone twice, it has failed. Innocent trials are carried along and live. A pack that hung
    or exhausted memory is halved at once. The first few losses of whole machines count against nobody.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._histories: dict[int, _History] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue  # a torn last line: the kill came before the loss was on record
                self._count(entry["numbers"], Failure.parse(entry.get("reason", "")).kind)

    def lost(self, numbers: Sequence[int], failure: Failure) -> None:
        """Record that a pack of these trials lost its worker."""
        entry = {"numbers": list(numbers), "reason": str(failure), "time_ms": int(time.time() * 1000)}
        with self._path.open("a") as file:
            # a leading newline ends a line that a kill tore
            file.write(f"\n{json.dumps(entry)}\n")
            file.flush()
            os.fsync(file.fileno())
        self._count(numbers, failure.kind)

    def attempts(self, number: int) -> int:
        """How often the trial's worker was lost."""
        return self._histories.get(number, _History()).losses

    def largest_pack(self, number: int) -> int | None:
        """The largest pack the trial may train in; None for any."""
        history = self._histories.get(number)
        if history is None or (history.losses < LOSSES_BEFORE_HALVING and not history.split):
            return None
        return max(1, history.last_size // 2)

    def exhausted(self, number: int) -> bool:
        """Whether the trial has failed for good."""
        return self._histories.get(number, _History()).alone >= LOSSES_ALONE

    def _count(self, numbers: Sequence[int], kind: FailureKind) -> None:
        for number in numbers:
            history = self._histories.setdefault(number, _History())
            if kind is FailureKind.NODE_LOST and history.nodes < NODE_LOSSES_FORGIVEN:
                history.nodes += 1
                continue
            history.losses += 1
            history.split |= kind in _SPLIT_AT_ONCE
            history.last_size = len(numbers)
            history.alone += len(numbers) == 1
