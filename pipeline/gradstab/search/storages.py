"""Optuna's storages: a journal file, a SQLite file or a PostgreSQL database.

A journal is repaired before it is opened: a process that was killed while writing leaves half a line, after which
Optuna cannot read the file (optuna#5138), and perhaps the link that locks it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from sqlalchemy import NullPool

from gradstab.errors import GradstabError, StorageError
from gradstab.search.postgresql import CONNECT_SECONDS, AwayError, Lease, require_direct
from gradstab.system.file_system import network_file_system
from gradstab.system.storage_url import JournalFile, Postgresql, SqliteFile, Storage

_STALE_LOCK_SECONDS = 1.0  # Optuna holds the lock for the milliseconds of one write
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Opened:
    """A storage, how to close its connections, and contexts that write new trials, or several tells, at once."""

    storage: BaseStorage
    close: Callable[[], None]
    created: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    batched_tells: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext


def open_storage(storage: Storage, study: str) -> Opened:
    """Open a storage, or create it, for the only driver of a study.

    The caller locks a file; in PostgreSQL the storage takes the study's lock itself (see postgresql.py).

    Raises:
        StorageError: it cannot be reached, read or written.
        StudyHeldError: another process drives the study in PostgreSQL.
    """
    try:
        match storage:
            case JournalFile(path=path):
                return _open_journal(path)
            case SqliteFile(path=path):
                return _open_sqlite(path)
            case Postgresql(server=server):
                return _open_postgresql(server, study)
    except AwayError as error:
        raise _unusable(storage, error) from None
    except GradstabError:
        raise
    except Exception as error:  # database drivers raise their own types, which this room does not import
        raise _unusable(storage, error) from None


@contextlib.contextmanager
def storage_errors(storage: Storage) -> Iterator[None]:
    """Turns exceptions of a storage into a StorageError with one sentence."""
    try:
        yield
    except AwayError as error:
        raise AwayError(error.reason, str(_unusable(storage, error))) from None
    except (OSError, sqlite3.Error, optuna.exceptions.StorageInternalError) as error:
        raise _unusable(storage, error) from None


def _open_journal(path: Path) -> Opened:
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_stale_lock(path)
    if path.exists():
        _cut_torn_line(path)
    journal = _Journal(str(path))
    return Opened(JournalStorage(journal), lambda: None, journal.created, journal.batched_tells)


class _Journal(JournalFileBackend):
    """Optuna's journal in a file, with entries grouped, because each write locks the file and waits for the disk.

    `created` appends entries one by one, because storage reads each back, and syncs at its end. `batched_tells`
    collects entries and appends them in one write at its end. The file is opened for reading only when it has grown,
    because storage asks for news twenty times a trial.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._writing = JournalFileSymlinkLock(path)
        super().__init__(path, self._writing)
        self._held: list[dict[str, Any]] | None = None
        self._synced = True
        self._read_to = (-1, -1)  # the number of the next entry to read, and the size of the file before it was read

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        size = self._path.stat().st_size
        if (log_number_from, size) == self._read_to:
            return
        number = log_number_from
        for log in super().read_logs(log_number_from):
            number += 1
            yield log
        self._read_to = (number, size)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if self._held is not None:
            self._held += logs
            return
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._writing.acquire()
        try:
            with self._path.open("ab") as file:
                file.write(lines.encode())
                file.flush()
                if self._synced:
                    os.fsync(file.fileno())
        finally:
            self._writing.release()

    @contextlib.contextmanager
    def created(self) -> Iterator[None]:
        self._synced = False
        try:
            yield
        finally:
            self._synced = True
            with self._path.open("ab") as file:
                os.fsync(file.fileno())

    @contextlib.contextmanager
    def batched_tells(self) -> Iterator[None]:
        held = self._held = []
        try:
            yield
        finally:
            self._held = None
            if held:
                self.append_logs(held)


def _open_sqlite(path: Path) -> Opened:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()  # with the permissions that the umask says, which SQLite takes over for its files beside it
    network = network_file_system(path)

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=30, check_same_thread=False)
        if network is None:
            # the file keeps WAL, each connection keeps synchronous; together they save a third of every write
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
        else:  # WAL needs memory that all processes share
            connection.execute("PRAGMA journal_mode=DELETE")
        return connection

    return _pooled(RDBStorage(f"sqlite:///{path}", engine_kwargs={"creator": connect}))


def _open_postgresql(url: str, study: str) -> Opened:
    """A pool of one connection, which holds the study's lock. It does not grow with slots or workers."""
    driver = url.replace("postgresql:", "postgresql+psycopg:", 1)
    require_direct(url)
    # the tables come first: Optuna creates and checks them with two connections at once
    RDBStorage(driver, engine_kwargs={"poolclass": NullPool, "connect_args": {"connect_timeout": CONNECT_SECONDS}})
    lease = Lease(url, study)
    options = {"creator": lease.connect, "pool_size": 1, "max_overflow": 0}
    database = RDBStorage(driver, engine_kwargs=options, skip_compatibility_check=True, skip_table_creation=True)
    lease.guard(database.engine)
    return _pooled(database)


def _pooled(database: RDBStorage) -> Opened:
    def close() -> None:
        database.remove_session()
        database.engine.dispose()

    return Opened(optuna.storages.get_storage(database), close)


def _clear_stale_lock(path: Path) -> None:
    """Remove the lock of a process killed while writing: Optuna itself would wait 30 s for it."""
    lock = path.with_name(path.name + ".lock")
    while True:
        try:
            age = time.time() - lock.lstat().st_mtime
        except FileNotFoundError:
            return
        if not 0 <= age < _STALE_LOCK_SECONDS:
            lock.unlink(missing_ok=True)
            return
        time.sleep(0.05)


def _cut_torn_line(path: Path) -> None:
    """Truncate a journal to its last whole line."""
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        start = end
        while start > 0:
            chunk_start = max(0, start - _CHUNK)
            file.seek(chunk_start)
            newline = file.read(start - chunk_start).rfind(b"\n")
            if newline >= 0:
                start = chunk_start + newline + 1
                break
            start = chunk_start
        if start < end:
            file.truncate(start)
            os.fsync(file.fileno())


def _unusable(storage: Storage, error: BaseException) -> StorageError:
    cause = error.__cause__ or error
    reason = str(getattr(cause, "orig", cause)).strip() or type(cause).__name__
    reason = reason.splitlines()[0].rstrip(".")
    password = _password(storage.url)
    for secret in {password, unquote(password)} - {""}:
        reason = reason.replace(secret, "***")
    return StorageError(
        f"the study's storage {storage} cannot be read or written: {reason}. "
        "Results recorded so far are safe: repair it and run the study again."
    )


def _password(url: str) -> str:
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""
