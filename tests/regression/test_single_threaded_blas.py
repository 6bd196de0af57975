"""BLAS is held to one thread within, and as it was afterwards."""

from __future__ import annotations

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from gradstab.regression.single_threaded_blas import single_threaded_blas


def _threads() -> set[int]:
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


@single_threaded_blas
def _inside(fail: bool) -> set[int]:
    if fail:
        raise ValueError("fails")
    return _threads()


def test_one_thread_within_and_as_before_afterwards() -> None:
    with threadpool_limits(3, user_api="blas"):
        before = _threads()
        assert _inside(fail=False) == {1}
        with pytest.raises(ValueError, match="fails"):
            _inside(fail=True)
        assert _threads() == before == {3}
