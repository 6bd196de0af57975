"""Files that are on disk when a call returns, as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from gradstab.errors import StorageError


def replace_file(path: Path, text: str, *, durable: bool) -> None:
    """Replace a small file by a rename, so that readers see the old or the new one; `durable` waits for the disk.

    Raises:
        StorageError: the disk is full or cannot be written; the old file stays.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        partial.rename(path)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        raise StorageError(
            f"{path} must be writable, but: {error.strerror}. Results recorded so far are safe."
        ) from error


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
