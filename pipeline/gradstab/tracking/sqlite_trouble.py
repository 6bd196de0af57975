"""What stands in the way of MLflow's database in a file, in one sentence: the file, its file system and what to do."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from gradstab.errors import StorageError
from gradstab.system.file_system import network_file_system
from gradstab.system.storage_url import SqliteFile, Tracking

_ELSEWHERE = "keep it on a local disk: MLFLOW_TRACKING_URI=sqlite:////PATH/mlflow.db"
_LOOK_SECONDS = 5.0
_KINDS = (  # what SQLite says, what that means, what to do
    (
        ("database is locked", "locking protocol"),
        "is locked by another program, or its file system has no locks",
        f"end what holds it, or {_ELSEWHERE}",
    ),
    (
        ("readonly database", "unable to open database file"),
        "cannot be written by this user",
        "have its owner give you the right to write (chmod g+w, for files and folders), or use one of your own: "
        "MLFLOW_TRACKING_URI=sqlite:////PATH/mlflow.db",
    ),
    (
        ("disk I/O error", "disk is full"),
        "cannot be written to its disk",
        f"free some space there and look at the limits of this account (ulimit -f, quota), or {_ELSEWHERE}",
    ),
    (
        ("malformed", "file is not a database", "no such table", "already exists", "Can't locate revision"),
        "is damaged, half made, or of another version of MLflow",
        "move it away and run gradstab sync, which fills a new one, or repair it with mlflow db upgrade",
    ),
)


def sqlite_trouble(error: Exception, tracking: Tracking | None) -> str | None:
    """The sentence for an error of a database in a file; None for other stores and other errors."""
    if not isinstance(tracking, SqliteFile):
        return None
    said = str(error)
    for words, what, advice in _KINDS:
        found = next((word for word in words if word in said), None)
        if found is not None:
            return f"MLflow's database {tracking.path} {what}{_where(tracking.path)} ({found}): {advice}"
    return None


def require_readable(tracking: Tracking) -> None:
    """Make sure that MLflow's server will be able to open its database in a file.

    Raises:
        StorageError: the database is there, but cannot be read.
    """
    if not isinstance(tracking, SqliteFile) or not tracking.path.exists():
        return
    try:
        address = f"file:{quote(str(tracking.path))}"
        with closing(sqlite3.connect(address, uri=True, timeout=_LOOK_SECONDS)) as database:
            database.execute("SELECT 1 FROM experiments LIMIT 1").fetchone()
    except sqlite3.Error as error:
        sentence = sqlite_trouble(error, tracking)
        raise StorageError(sentence or f"MLflow's database {tracking.path} cannot be read: {error}") from None


def _where(path: Path) -> str:
    kind = network_file_system(path)
    return "" if kind is None else f", on the network file system {kind}, where SQLite is not safe"
