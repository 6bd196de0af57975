"""MLflow's database in a file: it appears complete, is tuned for many small writes, and is synced when it matters."""

from __future__ import annotations

import fcntl
import itertools
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import event

from gradstab.system.durable import new_file
from gradstab.system.file_system import network_file_system

_BUSY_MS = 20_000


def make_database(path: Path, artifact_root: str | None) -> None:
    """Make an empty database, if there is none.

    MLflow's migrations take seconds, and a process that is killed during them leaves a file that no MLflow opens again.
    So they run on a file of another name.
    """
    if path.exists() and not _is_half_made(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            if not _is_half_made(path):
                return
            _set_aside(path)
        with new_file(path) as partial:
            partial.touch()  # with the permissions that the umask says; SQLite's own would keep a group from writing
            root = artifact_root or str(path.parent / "artifacts")
            store = SqlAlchemyStore(f"sqlite:///{partial}", root)  # type: ignore[no-untyped-call]
            store.engine.dispose()  # the last connection moves the write-ahead log into the file


def _is_half_made(path: Path) -> bool:
    """Whether a migration of MLflow's ended within, in a database that holds no run and that no MLflow opens again."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if tables and not any(name.startswith("_alembic_tmp_") for name in tables):
                return False
            return "runs" not in tables or database.execute("SELECT 1 FROM runs LIMIT 1").fetchone() is None
    except sqlite3.Error:
        return False  # whoever uses it says what is wrong


def _set_aside(path: Path) -> None:
    """Rename a database, and the files that SQLite keeps beside it, to a name that is free."""
    numbers = itertools.count(1)
    free = next(name for number in numbers if not (name := path.with_name(f"{path.name}.half-made-{number}")).exists())
    for suffix in ("", "-wal", "-shm", "-journal"):
        part = path.with_name(f"{path.name}{suffix}")
        if part.exists():
            part.rename(f"{free}{suffix}")


def sync_database(path: Path) -> None:
    """Wait until what was stored would survive a power cut."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists():
        with log.open("rb") as file:
            os.fsync(file.fileno())


def tune_connections() -> None:
    """Make the SQLite connections of this process use WAL and not sync each transaction: a third of a trial's cost.

    WAL needs memory that all processes share, so that on a network file system the database keeps SQLite's own way.
    """
    if not event.contains(sqlalchemy.Engine, "connect", _tune):
        event.listen(sqlalchemy.Engine, "connect", _tune)


def _tune(connection: Any, _record: Any) -> None:
    if type(connection).__module__.startswith("sqlite3"):
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        if _is_local(cursor):
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=NORMAL")
        else:
            cursor.execute("PRAGMA journal_mode=DELETE")
        cursor.close()


def _is_local(cursor: Any) -> bool:
    (_, _, path), *_ = cursor.execute("PRAGMA database_list").fetchall()
    return not path or network_file_system(Path(path)) is None
