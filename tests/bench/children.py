"""Child processes with a folder of their own, so that no run of a program sees another's caches, store or processes."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
POLL_S = 0.1
LIMIT_S = 1200.0
_SETTINGS = ("MLFLOW_", "GRADSTAB_", "RAY_", "OPTUNA_")


@dataclass(frozen=True)
class Finished:
    """A child that ended well.

    Attributes:
        begin, end: in seconds of the epoch.
        cpu_seconds: of the child and of all its own children that were waited for, by the kernel's books.
    """

    begin: float
    end: float
    cpu_seconds: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


def environment(folder: Path) -> dict[str, str]:
    """The environment without settings of the programs compared; caches and Ray's files go below `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join((str(ROOT / "pipeline"), str(ROOT))),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "RAY_TMPDIR": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def run_child(
    arguments: Sequence[str],
    folder: Path,
    caches: Path,
    watch: Callable[[int], None] | None = None,
    more: Mapping[str, str] | None = None,
) -> Finished:
    """Run `python -m ARGUMENTS` in a folder; `watch` is called with its process number every tenth of a second.

    Args:
        more: environment of the child, beyond this one's.

    Raises:
        RuntimeError: it failed or took longer than LIMIT_S; with the end of what it said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "child.log"
    begin, used = time.time(), _cpu_of_children()
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=folder,
            env={**environment(caches), **(more or {})},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, so that it can be ended with all that it started
        )
        try:
            while process.poll() is None and time.time() - begin < LIMIT_S:
                if watch is not None:
                    watch(process.pid)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_S)
            end = time.time()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode != 0:
        tail = "\n".join(log.read_text().splitlines()[-15:])
        raise RuntimeError(f"{' '.join(arguments[:3])} must end well, got code {process.returncode}:\n{tail}")
    return Finished(begin, end, _cpu_of_children() - used)


def _cpu_of_children() -> float:
    """CPU seconds of all children of this process that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def with_database(folder: Path, empty: Path) -> str:
    """The URI of a copy of an empty MLflow database in `folder`/mlflow: making one takes seconds."""
    path = folder / "mlflow" / "mlflow.db"
    path.parent.mkdir(parents=True)
    shutil.copy(empty, path)
    return f"sqlite:///{path}"


def stored(uri: str) -> tuple[int, int]:
    """(runs that ended well, metric rows) of an MLflow database."""
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
        (runs,) = connection.execute("select count(*) from runs where status = 'FINISHED'").fetchone()
        (rows,) = connection.execute("select count(*) from metrics").fetchone()
    return int(runs), int(rows)
