"""A lock file that one process of one machine holds: a kernel's lock, and a heart that beats for other machines.

The kernel's lock ends with its process. Some shared file systems keep it to one machine; so the holder names itself
in the file and touches it every few seconds, and a process on another machine watches for that before it goes on.
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

BEAT_SECONDS = 5.0
WATCH_SECONDS = 3 * BEAT_SECONDS
GLANCE_SECONDS = 0.3  # beyond what a look at who holds the lock takes
_UNKNOWN = "another process"


@contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file; `what` says in the error what is thereby driven.

    Raises:
        StudyHeldError: another process holds it, here or on another machine; says which.
        StorageError: the file cannot be written.
    """
    try:
        file = path.open("a+")
    except OSError as error:
        raise StorageError(f"the lock {path} must be writable, but: {error.strerror}") from None
    with file:
        if not _locked(file):
            raise _refusal(what, _text(file) or _UNKNOWN)
        holder = _text(file)
        if _host(holder) not in ("", socket.gethostname()) and _beats(path):
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
            file.truncate(0)  # nobody on another machine need watch for us


def holder_of(path: Path) -> str | None:
    """Who holds a lock file now, in words; None if nobody of this machine does."""
    if not path.exists():
        return None
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return _text(file) or _UNKNOWN
    return None


def _locked(file: TextIO) -> bool:
    """Whether the kernel gives us the lock: not in spite of a holder, but of `holder_of`, which takes it to look."""
    end = time.monotonic() + GLANCE_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > end:
                return False
            time.sleep(GLANCE_SECONDS / 10)
        else:
            return True


def _refusal(what: str, holder: str) -> StudyHeldError:
    return StudyHeldError(
        f"{what} must be driven by one process at a time, but {holder} holds it: wait for it, or stop it first"
    )


def _text(file: TextIO) -> str:
    file.seek(0)
    return file.read().strip()


def _host(holder: str) -> str:
    named = re.match(r"process \d+ on (\S+), since", holder)
    return named.group(1) if named else ""


def _beats(path: Path) -> bool:
    """Whether a process of another machine touches the file. Looks for change, for clocks of machines differ."""
    first = _touched(path)
    end = time.monotonic() + WATCH_SECONDS
    while time.monotonic() < end:
        time.sleep(BEAT_SECONDS / 10)
        if _touched(path) != first:
            return True
    return False


def _touched(path: Path) -> int:
    with path.open() as file:  # opened anew: a shared file system then asks its server
        return os.fstat(file.fileno()).st_mtime_ns


def _beat(path: Path, ended: threading.Event) -> None:
    while not ended.wait(BEAT_SECONDS):
        try:
            os.utime(path)
        except OSError:  # a folder removed under a running study is found out by its writers
            return
