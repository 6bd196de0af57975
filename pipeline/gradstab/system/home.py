"""A HOME that is missing or cannot be written, as in containers: libraries keep their files in a temporary folder."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path


def prepare_home() -> None:
    """Tell matplotlib where it may keep its files, where HOME has no place for them: it prints a warning otherwise."""
    if "MPLCONFIGDIR" not in os.environ and not (can_hold(".config") and can_hold(".cache")):
        os.environ["MPLCONFIGDIR"] = str(_temporary())


def can_hold(name: str) -> bool:
    """Whether HOME has a file or folder of this name that can be written, or could get one."""
    try:
        return _can_be_written(Path.home() / name)
    except RuntimeError:  # this user has no HOME, and no entry in the system's table of users either
        return False


def writable_or_temporary(folder: Path) -> Path:
    """The folder, if it can be written or made; else a temporary one, which is removed when this process ends."""
    return folder if _can_be_written(folder) else _temporary() / folder.name


def _can_be_written(path: Path) -> bool:
    try:
        nearest = next(place for place in (path, *path.parents) if place.exists())
    except OSError:  # a folder above it cannot even be looked into
        return False
    if nearest.is_dir():
        return os.access(nearest, os.W_OK | os.X_OK)
    return nearest == path and os.access(path, os.R_OK | os.W_OK)


@cache
def _temporary() -> Path:
    folder = tempfile.mkdtemp(prefix="gradstab-home-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
