"""How long the shipper tries, and what it says meanwhile."""

from __future__ import annotations

import socket

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from gradstab.system.child_process import ParentPipe
from gradstab.tracking.mlflow_client import prepare_environment
from gradstab.tracking.retry import GaveUpError, RetryWhileDriven, short_reason
from tests.system.test_retry import Clock


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
    assert RetryWhileDriven(ParentPipe(), (OSError,), said.append)(Store(away=1).call) == "stored"
    assert said == ["connection refused", None]


def test_without_a_driver_one_failure_is_the_end() -> None:
    driver = ParentPipe()
    driver.hang_up()
    store = Store(away=10)
    with pytest.raises(GaveUpError):
        RetryWhileDriven(driver, (OSError,), lambda _: None)(store.call)
    assert store.left == 9


@pytest.mark.parametrize(("asked_at", "given_up_at"), [(0.0, 130.0), (150.0, 180.0)])
def test_patience_is_counted_from_the_first_attempt_or_from_the_later_request_to_finish(
    monkeypatch: pytest.MonkeyPatch, asked_at: float, given_up_at: float
) -> None:
    clock, driver = Clock(), ParentPipe()
    monkeypatch.setattr("gradstab.system.retry.time", clock)

    def wait(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.now >= asked_at and driver.patience is None:
            driver.patience, driver.finishing_since = 30.0, asked_at

    monkeypatch.setattr(driver, "wait", wait)
    with pytest.raises(GaveUpError, match="connection refused"):
        RetryWhileDriven(driver, (OSError,), lambda _: None)(Store(away=1000).call)
    assert clock.now == given_up_at
    assert clock.pauses[-5:-1] == [1.0] * 4, "a driver that waits for its end is tried for often"


def test_errors_of_our_own_are_not_retried() -> None:
    with pytest.raises(ZeroDivisionError):
        RetryWhileDriven(ParentPipe(), (OSError,), lambda _: None)(lambda: 1 // 0)


def test_a_sentence_holds_no_password() -> None:
    error = OSError("could not reach postgresql://me:secret@db:5432/mlflow\nmore")
    assert short_reason(error) == "could not reach postgresql://***@db:5432/mlflow"


def test_a_refused_user_is_told_which_variables_to_set() -> None:
    error = OSError("API request to endpoint /api/2.0/mlflow/runs/create failed with error code 401 != 200. Response")
    assert "MLFLOW_TRACKING_PASSWORD" in short_reason(error)


@pytest.mark.parametrize(("place", "reason"), [("127.0.0.1", "Connection refused"), ("no.such.invalid", "not known")])
def test_a_server_that_is_not_there_is_said_in_words(place: str, reason: str) -> None:
    prepare_environment()
    with socket.socket() as taken:  # bound and not listening: whoever connects is refused
        taken.bind(("127.0.0.1", 0))
        uri = f"http://{place}:{taken.getsockname()[1]}"
        with pytest.raises(MlflowException) as caught:
            MlflowClient(tracking_uri=uri, registry_uri=uri).search_experiments(max_results=1)
    said = short_reason(caught.value)
    assert said.startswith(f"MLflow does not answer at {uri} (")
    assert reason in said
    assert "HTTPConnection" not in said
