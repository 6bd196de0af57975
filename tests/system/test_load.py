"""A busy machine is told of, and a load average that outlives the run that caused it is not."""

from __future__ import annotations

import os

import pytest

from gradstab.system import load
from gradstab.system.load import busy_text


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Sets the load average and the runnable processes, this one among them, of a machine of four cores."""

    def is_set(average: float, runnable: str | None) -> None:
        monkeypatch.setattr(os, "cpu_count", lambda: 4)
        monkeypatch.setattr(os, "getloadavg", lambda: (average, 0.0, 0.0))
        monkeypatch.setattr(load, "_RUNNABLE", tmp_path / "loadavg")
        if runnable is not None:
            (tmp_path / "loadavg").write_text(f"{average} 0.00 0.00 {runnable} 4711\n")

    return is_set


@pytest.mark.parametrize(
    ("average", "runnable", "wanted", "busy"),
    [
        (0.1, "1/300", 4, None),
        (2.2, "3/300", 4, 2),
        (2.2, "3/300", 2, None),  # two cores are free
        (2.2, "3/300", 3, 2),
        (9.0, "12/300", 1, 4),
        (9.0, "1/300", 4, None),  # what ran before has ended
        (9.0, "2/300", 4, 1),
        (2.2, None, 4, 2),  # macOS
        (2.2, "nonsense", 4, 2),
    ],
)
def test_cores_that_others_keep_busy_are_counted(machine, average, runnable, wanted, busy):
    machine(average, runnable)
    assert busy_text(wanted) == (None if busy is None else f"other processes keep {busy} of 4 cores busy")


def test_a_kernel_that_does_not_tell_the_load_is_no_error(machine, monkeypatch):
    machine(9.0, "9/300")

    def silent() -> tuple[float, float, float]:
        raise OSError

    monkeypatch.setattr(os, "getloadavg", silent)
    assert busy_text(4) is None
