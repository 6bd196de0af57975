"""The driver's end of the shipper: starts the process, keeps it alive, asks it to finish. Imports no mlflow."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from gradstab.record.shipping_order import load_order
from gradstab.tracking.shipping_files import LOG_NAME, WaitingCounter, load_state

MOST_DEATHS = 5  # in a row, without a trial shipped between them
FIRST_PAUSE_S = 1.0
GRACE_S = 15.0  # beyond the patience, for a call that is under way and for the start
_MAX_LOG_BYTES = 2**20


class ShipperProcess:
    """A tracker whose work is done by a process of its own, so that training never waits for MLflow.

    The folder must hold ``tracking.json`` (`gradstab.record.shipping_order.save_order`) before. The process
    survives a Ctrl-C in the terminal, learns the driver's end by the pipe that breaks, and is started again if it dies.

    Args:
        folder: results folder of the study.
        env: variables to add to the driver's own environment.
    """

    def __init__(self, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._env = {**os.environ, **(env or {})}
        self._uri = load_order(folder).uri
        self._counter = WaitingCounter(folder)
        self._deaths = 0
        self._shipped_at_death = -1
        self._start_after = 0.0
        self._begun_ms = time.time_ns() // 1_000_000
        self._process = self._start()

    def notify(self) -> None:
        """Start the process again if it died; it looks into the folder by itself."""
        if self._process.poll() is None or not self._may_restart():
            return
        if time.monotonic() >= self._start_after:
            self._restart()

    def waiting(self) -> int:
        """Recorded trials that MLflow does not hold yet."""
        self.notify()
        return self._counter.waiting(self._uri)

    def last_error(self) -> str | None:
        """One sentence on what is in the way, or None; what an earlier tracker left behind is not meant."""
        state = load_state(self._folder)
        return state.last_error if state.updated_ms > self._begun_ms else None

    def close(self, patience: float) -> int:
        """Have the rest shipped, giving up after `patience` seconds without progress; how many trials still wait."""
        while True:
            if self._process.poll() is None and self._finish(patience):
                break
            if not self._may_restart():
                break
            time.sleep(max(0.0, self._start_after - time.monotonic()))
            self._restart()
        return self._counter.waiting(self._uri)

    def _finish(self, patience: float) -> bool:
        """Ask the process to finish and wait for it; False if it died without an answer."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"finish {patience:g}\n".encode())
        self._process.stdin.close()
        quiet_since, seen = time.monotonic(), load_state(self._folder)
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.wait(timeout=0.5) >= 0
            state = load_state(self._folder)
            if state != seen:
                quiet_since, seen = time.monotonic(), state
            if time.monotonic() - quiet_since > patience + GRACE_S:
                self._process.kill()  # it hangs in a call; what it was at is found again by its number
                self._process.wait()
                return True

    def _may_restart(self) -> bool:
        """Account for a death once; False after too many without progress."""
        if self._start_after == 0.0:
            shipped = load_state(self._folder).shipped
            self._deaths = 1 if shipped != self._shipped_at_death else self._deaths + 1
            self._shipped_at_death = shipped
            self._start_after = time.monotonic() + FIRST_PAUSE_S * 2.0 ** (self._deaths - 1)
        return self._deaths < MOST_DEATHS

    def _restart(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._start_after = 0.0
        log = self._folder / LOG_NAME
        keep = log.exists() and log.stat().st_size < _MAX_LOG_BYTES
        with log.open("ab" if keep else "wb") as errors:
            return subprocess.Popen(
                # -P: what lies in the working directory must not stand in for an installed package
                [sys.executable, "-P", "-m", "gradstab.tracking.shipper", "--folder", str(self._folder)],
                stdin=subprocess.PIPE,
                bufsize=0,
                stdout=errors,
                stderr=errors,
                env=self._env,
                # out of reach of a Ctrl-C; but in our session, for Linux weighs niceness within a session only
                process_group=0,
            )
