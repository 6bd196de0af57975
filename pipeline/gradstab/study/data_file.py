"""What all data of a study have in common: how they are known by their content, and how a fault of them is said."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import ConfigDict, Field

from gradstab.errors import UsageError

FROZEN = ConfigDict(frozen=True, extra="forbid")
MIN_ROWS = 64  # the smallest probe batch

Sha256 = Annotated[
    str | None, Field(pattern="^[0-9a-f]{64}$", description="of the content; filled in when the study begins")
]
KnownShape = Annotated[
    tuple[int, int, int] | None,
    Field(description="rows, features, classes; filled in when the study begins: results outlive their data"),
]


class DataError(UsageError):
    """Data that cannot be read or trained on."""


class ForModules:
    """Data of studies of modules, as plain dataclasses: checked when a study is built, with all its other faults."""

    for_modules: ClassVar[bool] = True
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", revalidate_instances="always")


class Generated:
    """Data that the declaration determines, so that there is no content to be known by."""

    def with_data_hash(self) -> Self:
        """The same declaration: it says everything."""
        return self


def hash_of_file(path: Path, given: str | None) -> str:
    """SHA-256 of a file, so that its content identifies the data, wherever the file lies.

    Raises:
        DataError: the file cannot be read, or it has another hash than the one that was given.
    """
    with readable(path), path.open("rb") as file:
        return agreed(hashlib.file_digest(file, "sha256").hexdigest(), given, f"{path} must be the file")


def agreed(found: str, given: str | None, what_must: str) -> str:
    """The hash that was found, if none was given or the same one.

    Raises:
        DataError: another one was given.
    """
    if given not in (None, found):
        raise DataError(f"{what_must} with SHA-256 {given}, got one with {found}.")
    return found


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Says in one sentence that a file cannot be read.

    Raises:
        DataError: it cannot.
    """
    sentence = f"data must be in a file that can be read, got {shown(path)}"
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise DataError(f"{sentence}: it is no regular file.")
    except ValueError as error:  # a name that no file can have
        raise DataError(f"{sentence}: {error}.") from error
    except OSError as error:
        raise DataError(f"{sentence}: {error.strerror or error}.") from error
    try:
        yield
    except OSError as error:
        raise DataError(f"{sentence}: {error.strerror or error}.") from error


def shown(path: Path) -> str:
    """A path as a sentence may hold it."""
    text = str(path)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 300 else text[:297] + "..."


@contextmanager
def understood(path: Path, must: str, advice: str = "") -> Iterator[None]:
    """Says in one sentence that a file is damaged, or something else than its name says.

    Raises:
        DataError: it is, or it cannot be read.
    """
    try:
        with readable(path):
            yield
    except DataError:
        raise
    except Exception as error:  # readers of damaged files raise anything
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise DataError(f"{path} must {must}, but: {reason[:200]}.{advice}") from error


def require_rows(source: str, num_rows: int) -> None:
    """Check that there are rows enough for the smallest probe batch.

    Raises:
        DataError: there are not.
    """
    if num_rows < MIN_ROWS:
        raise DataError(f"{source} must hold at least {MIN_ROWS} rows, got {num_rows}: bring more data.")
