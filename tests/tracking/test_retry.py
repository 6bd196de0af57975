"""How long the shipper tries, and what it says meanwhile."""

from __future__ import annotations

import io
import time

import pytest

from pipeline.tracking.retry import DriverEnd, GaveUpError, Retry, sentence


class Store:
    """Away for the first `away` calls."""

    def __init__(self, away: int) -> None:
        self.left = away

    def call(self) -> str:
        if self.left > 0:
            self.left -= 1
            raise ConnectionError("connection refused")
        return "stored"


def test_a_store_that_comes_back_is_told_apart_from_trouble() -> None:
    said: list[str | None] = []
    assert Retry(DriverEnd(), (OSError,), said.append)(Store(away=1).call) == "stored"
    assert said == ["connection refused", None]


def test_without_a_driver_one_failure_is_the_end() -> None:
    driver = DriverEnd()
    driver.hang_up()
    store = Store(away=10)
    with pytest.raises(GaveUpError):
        Retry(driver, (OSError,), lambda _: None)(store.call)
    assert store.left == 9


def test_patience_is_counted_from_the_last_progress() -> None:
    driver = DriverEnd()
    driver.listen(io.StringIO("finish 0.6\n"))
    begin = time.monotonic()
    with pytest.raises(GaveUpError):
        Retry(driver, (OSError,), lambda _: None)(Store(away=1000).call)
    assert 0.5 < time.monotonic() - begin < 5
    assert driver.patience == 0.6


def test_errors_of_our_own_are_not_retried() -> None:
    with pytest.raises(ZeroDivisionError):
        Retry(DriverEnd(), (OSError,), lambda _: None)(lambda: 1 // 0)


def test_a_sentence_holds_no_password() -> None:
    error = OSError("could not reach postgresql://me:secret@db:5432/mlflow\nmore")
    assert sentence(error) == "could not reach postgresql://***@db:5432/mlflow"


def test_a_refused_user_is_told_which_variables_to_set() -> None:
    error = OSError("API request to endpoint /api/2.0/mlflow/runs/create failed with error code 401 != 200. Response")
    assert "MLFLOW_TRACKING_PASSWORD" in sentence(error)
