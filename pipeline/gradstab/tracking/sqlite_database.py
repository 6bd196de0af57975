"""MLflow's database in a file: it appears complete, is tuned for many small writes, and is synced when it matters."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import sqlalchemy
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import event

from gradstab.system.durable import new_file

_BUSY_MS = 20_000


def make_database(path: Path, artifact_root: str | None) -> None:
    """Make an empty database, if there is none.

    MLflow's migrations take seconds, and a process that is killed during them leaves a file that no MLflow opens again.
    So they run on a file of another name.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return
        with new_file(path) as partial:
            root = artifact_root or str(path.parent / "artifacts")
            store = SqlAlchemyStore(f"sqlite:///{partial}", root)  # type: ignore[no-untyped-call]
            store.engine.dispose()  # the last connection moves the write-ahead log into the file


def sync_database(path: Path) -> None:
    """Wait until what was stored would survive a power cut."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists():
        with log.open("rb") as file:
            os.fsync(file.fileno())


def tune_connections() -> None:
    """Make the SQLite connections of this process use WAL and not sync each transaction: a third of a trial's cost."""
    if not event.contains(sqlalchemy.Engine, "connect", _tune):
        event.listen(sqlalchemy.Engine, "connect", _tune)


def _tune(connection: Any, _record: Any) -> None:
    if type(connection).__module__.startswith("sqlite3"):
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()
