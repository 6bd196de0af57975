"""Files and folders that appear under their name complete, or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gradstab.errors import StorageError


def replace_file(path: Path, content: str | bytes, *, durable: bool, private: bool = False) -> None:
    """Write a small file in place of the old one: readers see the old or the new content.

    Args:
        durable: return only when the new content would survive a power cut.
        private: only its owner may read it, for what holds a secret. Otherwise the umask says who may.

    Raises:
        StorageError: the disk is full or cannot be written. The old file stays.
    """
    try:
        with new_file(path) as partial:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if private else 0o666)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}. Results recorded so far are safe.") from error


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a path to write to, and rename it to `path` at the end.

    After an error nothing is left. What a process left that was killed here is removed by the next one, with the files
    that SQLite keeps beside a database.
    """
    partial = path.with_name(f".{path.name}.partial")
    _remove_all(partial)
    try:
        yield partial
        partial.rename(path)
    except BaseException:
        _remove_all(partial)
        raise


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder to fill, and rename it to `path` at the end. After an error nothing is left."""
    with scratch_folder(path.parent) as scratch:
        partial = scratch / path.name
        partial.mkdir()
        yield partial
        partial.rename(path)


def replace_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put files into a folder in the given order. Each replaces the old one at once, after all have been written.

    Raises:
        StorageError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with scratch_folder(folder) as scratch:
            for name, content in files.items():
                (scratch / name).write_bytes(content)
            for name in files:
                (scratch / name).replace(folder / name)
    except OSError as error:
        raise StorageError(f"cannot write to {folder}: {error.strerror}") from error


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """A folder for unfinished files, within another one so that a rename moves them out of it; removed at the end."""
    scratch = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Wait until renames within a folder would survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_all(partial: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        partial.with_name(f"{partial.name}{suffix}").unlink(missing_ok=True)
