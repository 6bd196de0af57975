"""Equal faults of the user's program end a run at the third; others, and lost machines, do not."""

from __future__ import annotations

from typing import Any

import pytest

from gradstab.errors import UsageError
from gradstab.loop.program_faults import ProgramFaults
from gradstab.record.failure import Failure, FailureKind
from gradstab.record.segments import Record


def failed(number: int, kind: FailureKind, detail: str) -> Record:
    place: dict[str, Any] = {"seed": 0, "point": {}, "recipe": {}, "device": "cpu:0", "started_ms": 0}
    return Record(number=number, finished_ms=1, attempts=1, failure=Failure(kind, detail), **place)


def test_the_third_equal_fault_ends_the_run_with_its_sentence():
    faults = ProgramFaults()
    faults.require_few([failed(1, FailureKind.PROGRAM, "own.py line 3: bad"), failed(2, FailureKind.PROGRAM, "other")])
    faults.require_few([failed(5, FailureKind.PROGRAM, "own.py line 3: bad")])
    with pytest.raises(UsageError, match=r"own\.py line 3: bad \(3 trials, the last one number 9\).*--retry-failed"):
        faults.require_few([failed(9, FailureKind.PROGRAM, "own.py line 3: bad")])


def test_lost_machines_are_no_faults_of_the_program():
    faults = ProgramFaults()
    faults.require_few([failed(number, FailureKind.WORKER_LOST, "it died") for number in range(10)])
