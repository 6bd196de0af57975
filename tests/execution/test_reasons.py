"""Memory that runs out is told as that, by whichever library meets it first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from gradstab.execution.reasons import reason_of

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
def test_exhausted_memory_is_told_as_that(exhaust: Callable[[], object]) -> None:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        exhaust()
    assert reason_of(caught.value).startswith("oom: ")


def test_other_errors_are_not() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.zeros(2) @ torch.zeros(3)
    assert reason_of(caught.value).startswith("RuntimeError: ")
