"""One driver per study on PostgreSQL: the connection that writes also holds the study's lock and epoch.

The driver has a single connection. Opening it takes the study's advisory lock, which the server frees when the
connection ends. So a driver that loses the connection loses the lock and must take it again. The epoch is raised by
each driver that starts and by ``gradstab run --force``. Every writing transaction reads it and keeps it from changing,
so that a driver notices if another one has worked meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext

from gradstab.errors import StorageError, StudyHeldError

CONNECT_SECONDS = 10
# if a machine vanishes, both ends notice within a minute, and the server frees the lock
_SERVER_KEEPALIVE = "-c tcp_keepalives_idle=15 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
_TABLE = """CREATE TABLE IF NOT EXISTS gradstab_drivers (
    study text PRIMARY KEY, epoch bigint NOT NULL, holder text NOT NULL)"""
_POOLER = (
    "OPTUNA_STORAGE must name the PostgreSQL server itself, but a connection pooler such as PgBouncer answers, which "
    "moves a driver's lock and statements from one connection to another: give the server's own host and port"
)
_WRITES = ("INSERT", "UPDATE", "DELETE")


class AwayError(StorageError):
    """The server cannot be reached now, but may be later. `reason` is the server's message."""

    def __init__(self, reason: str, sentence: str = "") -> None:
        super().__init__(sentence or reason)
        self.reason = reason


class SupersededError(StorageError):
    """Another driver has taken the study over."""


@dataclass
class Lease:
    """The right to write one study: opens connections that hold the lock, and checks the epoch at each commit.

    Args:
        url: a ``postgresql://`` URL as libpq reads it.
        study: the study's name in storage.
    """

    url: str
    study: str
    _epoch: int | None = None

    def connect(self) -> psycopg.Connection[Any]:
        """Open a connection that holds the study's lock under this driver's epoch.

        Raises:
            AwayError: the server cannot be reached, or has not yet freed the lock of the lost connection.
            StudyHeldError: another driver holds the study.
            SupersededError: another driver has held it since this one lost its connection.
        """
        connection = _connected(self.url)
        try:
            self._hold(connection)
            connection.autocommit = False
        except psycopg.OperationalError as error:
            connection.close()
            raise AwayError(_first_line(error)) from None
        except BaseException:
            connection.close()
            raise
        return connection

    def guard(self, engine: Engine) -> None:
        """Let writing transactions of an engine commit only under this driver's epoch.

        A lost connection becomes an AwayError at once and bypasses Optuna's own retries: these would create a trial a
        second time if the first commit went through and only its answer was lost.
        """
        event.listen(engine, "before_cursor_execute", _note_write)
        event.listen(engine, "begin", _forget_write)
        event.listen(engine, "commit", self._check)
        event.listen(engine, "handle_error", _raise_away)

    def _hold(self, connection: psycopg.Connection[Any]) -> None:
        with connection.transaction():
            found = connection.execute(
                "SELECT epoch, holder FROM gradstab_drivers WHERE study = %s FOR UPDATE", [self.study]
            ).fetchone()
            epoch, holder = found or (0, "")
            if self._epoch is not None and epoch != self._epoch:
                raise self._superseded(holder)
            if not self._locked(connection, epoch):
                if self._epoch is not None:
                    raise AwayError("the server has not yet freed the lock of the lost connection")
                raise StudyHeldError(
                    f"the study {self.study!r} must be driven by one process at a time, but {holder} holds it in "
                    "PostgreSQL: wait for it, stop it first, or take over with --force"
                )
            if self._epoch is None:
                epoch += 1
                connection.execute(
                    "INSERT INTO gradstab_drivers VALUES (%s, %s, %s) "
                    "ON CONFLICT (study) DO UPDATE SET epoch = excluded.epoch, holder = excluded.holder",
                    [self.study, epoch, _myself()],
                )
                self._locked(connection, epoch)
        self._epoch = epoch

    def _locked(self, connection: psycopg.Connection[Any], epoch: int) -> bool:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", [_key(self.study, epoch)]).fetchone()
        return bool(row and row[0])

    def _check(self, connection: Connection) -> None:
        if not connection.info.pop("wrote", False):
            return
        # through SQLAlchemy, so that _raise_away sees a lost connection; FOR SHARE, so that raising the epoch waits for
        # this commit
        query = "SELECT epoch, holder FROM gradstab_drivers WHERE study = %s FOR SHARE"
        row = connection.exec_driver_sql(query, (self.study,)).fetchone()
        if row is None or row[0] != self._epoch:
            raise self._superseded(row[1] if row else "a removal")

    def _superseded(self, holder: str) -> SupersededError:
        return SupersededError(
            f"the study {self.study!r} must be driven by one process at a time, but {holder} has taken it over: "
            "this driver stops; what it recorded is safe"
        )


def take_over(url: str, study: str) -> None:
    """Raise the study's epoch: its driver stops at the next write, and the next driver need not wait for it.

    Raises:
        AwayError: the server cannot be reached.
    """
    _execute(url, "UPDATE gradstab_drivers SET epoch = epoch + 1, holder = %s WHERE study = %s", _myself(), study)


def forget(url: str, study: str) -> None:
    """Remove the records about a study's drivers when the study is removed.

    Raises:
        AwayError: the server cannot be reached.
    """
    _execute(url, "DELETE FROM gradstab_drivers WHERE study = %s", study)


def _execute(url: str, statement: LiteralString, *values: str) -> None:
    try:
        with _connected(url) as connection:
            connection.execute(statement, values)
    except psycopg.OperationalError as error:
        raise AwayError(_first_line(error)) from None


def require_direct(url: str) -> None:
    """Make sure that the server itself answers, and not a pooler before it.

    A pooler gives each transaction another connection of the server: the driver's lock would stay on one and its
    prepared statements on others.

    Raises:
        AwayError: the server cannot be reached.
        StorageError: a pooler answers.
    """
    _connected(url).close()


def _connected(url: str) -> psycopg.Connection[Any]:
    try:
        connection = psycopg.connect(
            url,
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            application_name="gradstab driver",
            options=_SERVER_KEEPALIVE,
            keepalives_idle=15,
            keepalives_interval=10,
            keepalives_count=3,
            tcp_user_timeout=45_000,
        )
        # a pooler makes up the number that a connection is told at its start
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        if row is not None and row[0] != connection.info.backend_pid:
            connection.close()
            raise StorageError(_POOLER)
        with connection.transaction():
            # two first drivers at once would both create it, and one would fail
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_key("gradstab_drivers", 0)])
            connection.execute(_TABLE)
    except psycopg.OperationalError as error:
        if "unsupported startup parameter" in str(error):
            raise StorageError(_POOLER) from None
        raise AwayError(_first_line(error)) from None
    return connection


def _key(study: str, epoch: int) -> int:
    digest = hashlib.blake2b(f"gradstab:{epoch}:{study}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _myself() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _note_write(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
    if statement.lstrip()[:6].upper() in _WRITES:
        connection.info["wrote"] = True


def _forget_write(connection: Connection) -> None:
    connection.info.pop("wrote", None)


def _raise_away(context: ExceptionContext) -> None:
    if context.is_disconnect:
        raise AwayError(_first_line(context.original_exception)) from None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
