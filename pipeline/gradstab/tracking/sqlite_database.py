"""MLflow's database in a file: made whole or not at all, tuned for many small writes, synced when it matters."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import sqlalchemy
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import event

_SCHEME = "sqlite:///"
_BUSY_MS = 20_000


def database_path(uri: str) -> Path | None:
    """The file of a SQLite URI; None for any other store."""
    return Path(uri.removeprefix(_SCHEME).partition("?")[0]) if uri.startswith(_SCHEME) else None


def make_database(path: Path, artifact_root: str | None) -> None:
    """Make an empty database where there is none.

    MLflow's migrations take seconds, and a process killed among them leaves a file that no MLflow opens again;
    so they run on a file of another name.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return
        partial = path.parent / f".{path.name}.partial"
        for leftover in path.parent.glob(f"{partial.name}*"):
            leftover.unlink()
        root = artifact_root or str(path.parent / "artifacts")
        store = SqlAlchemyStore(f"{_SCHEME}{partial}", root)  # type: ignore[no-untyped-call]
        store.engine.dispose()  # the last connection takes the write-ahead log into the file
        partial.rename(path)


def sync_database(path: Path) -> None:
    """Wait until what was stored would survive a power cut."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists():
        with log.open("rb") as file:
            os.fsync(file.fileno())


def tune_connections() -> None:
    """Have every SQLite connection of this process use WAL, and no sync a transaction: a third of the cost a trial."""
    if not event.contains(sqlalchemy.Engine, "connect", _tune):
        event.listen(sqlalchemy.Engine, "connect", _tune)


def _tune(connection: Any, _record: Any) -> None:
    if type(connection).__module__.startswith("sqlite3"):
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()
