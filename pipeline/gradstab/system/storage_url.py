"""What a storage URL names, told without opening it: a file, a server, and a form that may be shown."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

_FILES = ("journal:", "sqlite:///")
_SECRET_FIELD = re.compile(r"((?:password|passwd|token|secret)=)[^&#\s]*", re.IGNORECASE)
_CREDENTIALS = re.compile(r"//[^/@\s]*:[^/\s]*@")
_SERVERS = ("postgresql", "postgresql+psycopg", "postgres")


def storage_file(url: str) -> Path | None:
    """The file of a journal or a SQLite database; None for what is no file."""
    for scheme in _FILES:
        if url.startswith(scheme) and len(url) > len(scheme):
            return Path(url.removeprefix(scheme))
    return None


def anchored(url: str, folder: Path) -> str:
    """The URL with a relative path in it taken from a folder, so that it means one file wherever the command is called.

    As SQLAlchemy, a database ``:memory:`` is no file.
    """
    for scheme in _FILES:
        path = url.removeprefix(scheme)
        if url.startswith(scheme) and path not in ("", ":memory:"):
            return f"{scheme}{folder / path}"
    return url


def postgresql_url(url: str) -> str | None:
    """The URL of a PostgreSQL database as libpq reads it; None for another storage."""
    scheme, _, rest = url.partition("://")
    return f"postgresql://{rest}" if scheme in _SERVERS and rest else None


def same_database(one: str, other: str) -> bool:
    """Whether two URLs name the same database, whoever logs in and by whichever driver."""
    file, server = storage_file(one), postgresql_url(one)
    if file is not None:
        return one.startswith("sqlite:") and storage_file(other) == file
    return server is not None and _place(server) == _place(postgresql_url(other) or "")


def without_password(url: str) -> str:
    """A URL as it may be shown: what stands for a password, in front of the host or behind a `?`, is replaced by ***.

    Everything between the first `:` and the last `@` of what follows `://` goes, so that a password with an `@` in it,
    which should have been escaped, does not show either; in what is no URL, everything between the first and the last.
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


def without_passwords(text: str) -> str:
    """A sentence, or what a person typed, without the passwords of URLs in it."""
    return _SECRET_FIELD.sub(r"\1***", _CREDENTIALS.sub("//***@", text))


def _place(url: str) -> tuple[object, ...]:
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError:
        return (url,)
    return parts.hostname, port, parts.path, parts.query  # a socket's folder stands in the query
