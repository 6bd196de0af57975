"""Exclusive lock file: ``flock`` on one machine, and a heartbeat that other machines on the same file system can see.

The kernel frees the lock when its process ends. Some shared file systems do not show it to other machines. So the
holder writes its name into the file and touches the file every few seconds, and a process on another machine that
finds a name watches for a while whether the file is touched, before it takes the lock.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from gradstab.errors import StorageError, StudyHeldError
from gradstab.system.retry import Retry

BEAT_SECONDS = 5.0
WATCH_SECONDS = 3 * BEAT_SECONDS
GLANCE_SECONDS = 0.3  # longer than `holder_of` keeps the lock
_UNKNOWN = "another process"


@contextmanager
def hold_lock(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file.

    Args:
        what: what the lock protects, for the error.

    Raises:
        StudyHeldError: another process holds it, here or on another machine. The error names the process.
        StorageError: the file cannot be written.
    """
    try:
        file = path.open("a+")
    except OSError as error:
        raise StorageError(f"cannot write the lock file {path}: {error.strerror}") from None
    with file:
        if not _try_to_lock(file):
            raise _refusal(what, _text(file) or _UNKNOWN)
        holder = _text(file)
        if _host(holder) not in ("", socket.gethostname()) and _is_touched(path):
            raise _refusal(what, holder)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
        file.flush()
        ended = threading.Event()
        heart = threading.Thread(target=_beat, args=(path, ended), name="lock", daemon=True)
        heart.start()
        try:
            yield
        finally:
            ended.set()
            heart.join()
            file.truncate(0)  # so that other machines need not watch the file


def holder_of(path: Path) -> str | None:
    """The process that holds a lock file, in words; None if no process on this machine does."""
    if not path.exists():
        return None
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return _text(file) or _UNKNOWN
    return None


def _try_to_lock(file: TextIO) -> bool:
    """Try to lock, for .3 s, because `holder_of` takes the lock for a moment in order to look."""
    retry = Retry(OSError, lambda began: began + GLANCE_SECONDS, pauses=(GLANCE_SECONDS / 10, GLANCE_SECONDS / 10))
    try:
        retry(lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _refusal(what: str, holder: str) -> StudyHeldError:
    return StudyHeldError(
        f"{what} can be driven by one process at a time, and {holder} holds it: wait until that ends, or stop it first"
    )


def _text(file: TextIO) -> str:
    file.seek(0)
    return file.read().strip()


def _host(holder: str) -> str:
    named = re.match(r"process \d+ on (\S+), since", holder)
    return named.group(1) if named else ""


def _is_touched(path: Path) -> bool:
    """Whether another machine touches the file. The test is change, not age: the machines' clocks may differ."""
    first = _touch_time(path)
    end = time.monotonic() + WATCH_SECONDS
    while time.monotonic() < end:
        time.sleep(BEAT_SECONDS / 10)
        if _touch_time(path) != first:
            return True
    return False


def _touch_time(path: Path) -> int:
    with path.open() as file:  # opened each time, because a shared file system then asks its server
        return os.fstat(file.fileno()).st_mtime_ns


def _beat(path: Path, ended: threading.Event) -> None:
    while not ended.wait(BEAT_SECONDS):
        try:
            os.utime(path)
        except OSError:  # if the folder was removed during the study, the next write of a result says so
            return
