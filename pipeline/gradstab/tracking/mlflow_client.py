"""MLflow's client as every process here uses it: its environment, the errors of a store that is away, and paging."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import requests
import sqlalchemy.exc
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.entities import PagedList

from gradstab.system.proxies import spare_loopback
from gradstab.system.storage_url import Tracking
from gradstab.tracking.sqlite_database import tune_connections

Item = TypeVar("Item")

# What a call raises when MLflow cannot be reached, or cannot answer now.
UNREACHABLE = (MlflowException, requests.RequestException, sqlalchemy.exc.SQLAlchemyError, OSError)


def prepare_environment() -> None:
    """Set what MLflow reads from the environment, before its first call. A time-out that the user set is kept.

    MLflow's own HTTP retries are switched off: if the reply to ``create_run`` were lost and MLflow repeated the call by
    itself, there would be two runs.
    """
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # saves one request for each run
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    spare_loopback()
    tune_connections()


def open_client(tracking: Tracking) -> MlflowClient:
    """A client of a tracking store. For a SQLite database that does not exist, MLflow makes one."""
    return MlflowClient(tracking_uri=tracking.url, registry_uri=tracking.url)


def all_pages(search: Callable[[str | None], PagedList[Item]]) -> Iterator[Item]:
    """Everything that a search finds, page by page.

    Args:
        search: makes the call for one page, given the page's token (None for the first page).
    """
    token: str | None = None
    while True:
        page = search(token)
        yield from page
        token = page.token
        if not token:
            return
