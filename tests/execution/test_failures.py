"""Memory that runs out is recognized, whichever library meets it first; other errors are not taken for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from ray.exceptions import ActorDiedError, OutOfMemoryError

from gradstab.execution.failures import error_failure, hang_failure, node_failure, worker_failure
from gradstab.record.failure import FailureKind

BEYOND = 2**46  # elements: more than a process can address


@pytest.mark.parametrize(
    "exhaust",
    [
        lambda: torch.empty(BEYOND),
        lambda: np.empty(BEYOND),
        lambda: bytearray(BEYOND),
    ],
    ids=["torch", "numpy", "python"],
)
def test_exhausted_memory_is_recognized(exhaust: Callable[[], object]) -> None:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        exhaust()
    failure = error_failure(caught.value)
    assert failure.kind is FailureKind.OUT_OF_MEMORY
    assert str(failure).startswith("oom: ")


def test_other_errors_are_not_taken_for_it() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.zeros(2) @ torch.zeros(3)
    failure = error_failure(caught.value)
    assert failure.kind is FailureKind.ERROR
    assert str(failure).startswith("RuntimeError: ")


def test_an_exception_named_like_a_kind_of_failure_ends_no_run() -> None:
    """Such a name could be taken for the kind, as it always was; what matters is that its reason can be recorded."""
    exception = type("oom", (Exception,), {})("of the user's own")
    assert str(error_failure(exception)) == "oom: of the user's own"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OutOfMemoryError("node running low on memory"), FailureKind.OUT_OF_MEMORY),  # type: ignore[no-untyped-call]
        (ActorDiedError(), FailureKind.WORKER_LOST),
    ],
)
def test_ray_s_killer_of_workers_is_told_from_other_deaths(error: Exception, kind: FailureKind) -> None:
    assert worker_failure(error).kind is kind


def test_reasons_read_as_they_always_did() -> None:
    assert str(hang_failure(119.6)) == "hang: no result within 120 s"
    assert str(node_failure("gpu-box")) == "node lost: gpu-box"
    assert str(worker_failure(ConnectionError("reset\nby peer"))) == "worker lost: ConnectionError: reset"
    assert str(error_failure(ValueError())) == "ValueError"
