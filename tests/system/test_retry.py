"""Calls that fail for a while: how often they are made, when that ends, and what is said meanwhile."""

from __future__ import annotations

import math
from itertools import count

import pytest

from gradstab.system import retry as module
from gradstab.system.retry import Retry


class Clock:
    """A clock that moves only by sleeping."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


class Call:
    """Fails the first times."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures, self.error, self.made = failures, error, 0

    def __call__(self) -> str:
        self.made += 1
        if self.made <= self.failures:
            raise self.error
        return "done"


def test_pauses_double_up_to_the_longest_and_both_sides_are_told(clock: Clock) -> None:
    failed, recovered = list[int](), list[float]()
    retry = Retry(
        OSError,
        lambda _: math.inf,
        (1.0, 5.0),
        on_failure=lambda _, failures: failed.append(failures),
        on_recovery=recovered.append,
        sleep=clock.sleep,
    )
    assert retry(Call(5, OSError("away"))) == "done"
    assert clock.pauses == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert (failed, recovered) == ([1, 2, 3, 4, 5], [17.0])
    assert retry(Call(0, OSError())) == "done"
    assert (failed, recovered) == ([1, 2, 3, 4, 5], [17.0])


def test_the_last_attempt_is_made_at_the_end_of_the_time_and_its_error_raised(clock: Clock) -> None:
    retry = Retry(OSError, lambda began: began + 4.0, (3.0, 9.0), sleep=clock.sleep)
    call = Call(9, OSError("away"))
    with pytest.raises(OSError, match="away"):
        retry(call)
    assert clock.pauses == [3.0, 1.0]
    assert call.made == 3


def test_without_time_one_attempt_is_made(clock: Clock) -> None:
    call = Call(9, OSError("away"))
    with pytest.raises(OSError, match="away"):
        Retry(OSError, lambda began: began, (1.0, 1.0), sleep=clock.sleep)(call)
    assert (call.made, clock.pauses) == (1, [])


def test_the_end_may_come_nearer_while_the_call_fails(clock: Clock) -> None:
    asked = count()
    retry = Retry(OSError, lambda _: math.inf if next(asked) < 3 else -math.inf, (1.0, 1.0), sleep=clock.sleep)
    call = Call(9, OSError("away"))
    with pytest.raises(OSError, match="away"):
        retry(call)
    assert call.made == 4


def test_other_errors_end_it_at_once(clock: Clock) -> None:
    call = Call(9, ValueError("wrong"))
    with pytest.raises(ValueError, match="wrong"):
        Retry(OSError, lambda _: math.inf, (1.0, 1.0), sleep=clock.sleep)(call)
    assert call.made == 1
