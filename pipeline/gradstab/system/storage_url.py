"""Addresses of storage and of MLflow, parsed once into types, and a form of them that shows no password.

Nothing is opened here. The types keep the text as it was given, because MLflow and SQLAlchemy read it themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gradstab.errors import UsageError

_JOURNAL, _SQLITE = "journal:", "sqlite:///"
_MOST_SHOWN = 200  # characters
_FILES = (_JOURNAL, _SQLITE)
_SECRET_FIELD = re.compile(r"((?:password|passwd|token|secret)=)[^&#\s]*", re.IGNORECASE)
_CREDENTIALS = re.compile(r"//[^/@\s]*:[^/\s]*@")
_POSTGRESQL = re.compile(r"(postgresql(?:\+\w+)?|postgres)://(.+)", re.DOTALL)
_OPTUNA_DRIVERS = ("postgresql", "postgresql+psycopg", "postgres")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_HOST_AND_PORT = re.compile(r"[\w.-]+:\d+(?:/.*)?")
# what MLflow reads beside servers, SQLite and PostgreSQL; an unknown scheme may belong to a plug-in of MLflow
_OTHER_SCHEMES = ("file", "mysql", "mssql", "databricks", "databricks-uc", "uc")


@dataclass(frozen=True, repr=False)
class _Url:
    """An address.

    Attributes:
        url: the text as it was given, which may hold a password. `str` and `repr` hide the password.
    """

    url: str

    def __str__(self) -> str:
        return without_password(self.url)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"


@dataclass(frozen=True, repr=False)
class JournalFile(_Url):
    """A file of Optuna's journal storage: ``journal:PATH``."""

    path: Path


@dataclass(frozen=True, repr=False)
class SqliteFile(_Url):
    """A SQLite database: ``sqlite:///PATH``."""

    path: Path


@dataclass(frozen=True, repr=False)
class Postgresql(_Url):
    """A PostgreSQL database.

    Attributes:
        server: the URL as PostgreSQL's own library reads it: ``postgresql://...``.
    """

    server: str


@dataclass(frozen=True, repr=False)
class MlflowServer(_Url):
    """An MLflow server: ``http://...`` or ``https://...``."""


@dataclass(frozen=True, repr=False)
class OtherMlflowStore(_Url):
    """Another store that MLflow reads: a folder, another database, or what a plug-in of MLflow provides."""


Storage = JournalFile | SqliteFile | Postgresql
Tracking = SqliteFile | Postgresql | MlflowServer | OtherMlflowStore


def parse_storage(text: str, name: str = "storage") -> Storage:
    """What a storage URL names.

    Args:
        name: what the URL is called in the error.

    Raises:
        UsageError: it names no storage that Optuna is used with here.
    """
    for scheme, kind in ((_JOURNAL, JournalFile), (_SQLITE, SqliteFile)):
        path = text.removeprefix(scheme)
        if path not in (text, ""):
            return kind(text, Path(path))
    found = _POSTGRESQL.fullmatch(text)
    if found is not None and found[1] in _OPTUNA_DRIVERS:
        return Postgresql(text, f"postgresql://{found[2]}")
    raise UsageError(
        f"{name} must be journal:PATH, sqlite:///PATH or postgresql://USER@HOST/DATABASE, got {_shown(text)}"
    )


def parse_tracking(text: str, name: str = "the MLflow tracking URI") -> Tracking:
    """What an MLflow tracking URI names.

    Args:
        name: what the URI is called in the error.

    Raises:
        UsageError: it is no URI that MLflow can read.
    """
    scheme = found[1].lower() if (found := _SCHEME.match(text)) else ""
    database = _POSTGRESQL.fullmatch(text)
    path = text.removeprefix(_SQLITE).partition("?")[0]
    if text.startswith(_SQLITE) and path:
        return SqliteFile(text, Path(path))
    if database is not None and database[1] != "postgres":  # which SQLAlchemy does not know
        return Postgresql(text, f"postgresql://{database[2]}")
    if scheme in ("http", "https") and _has_host(text):
        return MlflowServer(text)
    if _is_other_store(text, scheme):
        return OtherMlflowStore(text)
    advice = f": write http://{text}" if _HOST_AND_PORT.fullmatch(text) else ""
    raise UsageError(
        f"{name} must be http://HOST:PORT, sqlite:///PATH, postgresql://USER@HOST/DATABASE or another URI that MLflow "
        f"reads, got {_shown(text)}{advice}"
    )


def _shown(text: str) -> str:
    """A text as a sentence quotes it: without its password, on one line, and cut where nobody would type it so long."""
    text = without_password(text)
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def anchored(url: str, folder: Path) -> str:
    """The URL with a relative path in it taken from a folder, so that it means one file wherever the command is called.

    ``sqlite:///:memory:`` is no file for SQLAlchemy, and stays.
    """
    for scheme in _FILES:
        path = url.removeprefix(scheme)
        if url.startswith(scheme) and path not in ("", ":memory:"):
            return f"{scheme}{folder / path}"
    return url


def same_database(storage: Storage, tracking: Tracking) -> bool:
    """Whether Optuna and MLflow would write into the same database, whoever logs in and by whichever driver."""
    match storage, tracking:
        case SqliteFile(), SqliteFile():
            return storage.path == tracking.path
        case Postgresql(), Postgresql():
            return _place(storage.server) == _place(tracking.server)
    return False


def without_password(url: str) -> str:
    """The URL with *** in place of its password, which stands in front of the host or behind a `?`.

    Everything between the first `:` and the last `@` of what follows `://` is replaced, so that a password with an `@`
    in it, which should have been escaped, does not show either. In a text that is no URL, everything between the first
    `:` and the last `@` is replaced.
    """
    if url.startswith((*_FILES, "file:")):
        return url
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    rest = _SECRET_FIELD.sub(r"\1***", rest)
    credentials, at, host = rest.rpartition("@")
    if at and ":" in credentials:
        rest = f"{credentials.partition(':')[0]}:***@{host}"
    return f"{scheme}{separator}{rest}"


def holds_password(url: str) -> bool:
    """Whether a password stands in a URL."""
    return without_password(url) != url


def without_passwords(text: str) -> str:
    """A text with *** in place of the passwords of all URLs in it."""
    return _SECRET_FIELD.sub(r"\1***", _CREDENTIALS.sub("//***@", text))


def _has_host(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname)
    except ValueError:
        return False


def _is_other_store(text: str, scheme: str) -> bool:
    if not scheme:
        return bool(text) and not _HOST_AND_PORT.fullmatch(text)  # the path of a folder
    if scheme.partition("+")[0] in _OTHER_SCHEMES:
        return True
    from importlib.metadata import entry_points

    return any(plugin.name == scheme for plugin in entry_points(group="mlflow.tracking_store"))


def _place(url: str) -> tuple[object, ...]:
    """What tells one database from another."""
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError:
        return (url,)
    return parts.hostname, port, parts.path, parts.query  # the folder of a socket stands in the query
