"""The driver's side of the shipper: starts the process, keeps it alive and asks it to finish. Imports no mlflow."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from gradstab.record.shipping_order import load_order
from gradstab.system import child_process
from gradstab.tracking.shipping_files import LOG_NAME, WaitingCounter, load_state

MOST_DEATHS = 5  # in a row, if no trial was shipped between them
FIRST_PAUSE_S = 1.0
GRACE_S = 15.0  # added to the patience: for a call that is under way, and for the start
_MAX_LOG_BYTES = 2**20


class ShipperProcess:
    """A tracker that works in a process of its own, so that training never waits for MLflow.

    The folder must hold ``tracking.json`` already (see `gradstab.record.shipping_order.save_order`). The process
    survives a Ctrl-C in the terminal, notices by its pipe when the driver ends, and is started again if it dies.

    Args:
        folder: results folder of the study.
        env: variables to add to the driver's own environment.
        delay: seconds until the process is started, or until it is asked to finish: its imports take seconds of a core
            that workers need for theirs.
    """

    def __init__(self, folder: Path, env: Mapping[str, str] | None = None, delay: float = 0.0) -> None:
        self._folder = folder
        self._env = env
        self._uri = load_order(folder).uri
        self._counter = WaitingCounter(folder)
        self._deaths = 0
        self._shipped_at_death = -1
        self._begun_ms = time.time_ns() // 1_000_000
        self._start_after = time.monotonic() + delay
        self._process = None if delay else self._start()

    def notify(self) -> None:
        """Start the process when it is time, and again if it died. While it lives, it finds new results by itself."""
        if self._process is not None and (self._process.poll() is None or not self._may_restart()):
            return
        if time.monotonic() >= self._start_after:
            self._restart()

    def waiting(self) -> int:
        """Number of recorded trials that MLflow does not hold yet."""
        self.notify()
        return self._counter.waiting(self._uri)

    def last_error(self) -> str | None:
        """One sentence on what stops the shipping, or None. An error that an earlier process left does not count."""
        state = load_state(self._folder)
        return state.last_error if state.updated_ms > self._begun_ms else None

    def close(self, patience: float) -> int:
        """Ship the rest, give up after `patience` seconds without progress, and return how many trials still wait."""
        self._process = self._process or self._start()
        while True:
            if self._process.poll() is None and self._finish(self._process, patience):
                break
            if not self._may_restart():
                break
            time.sleep(max(0.0, self._start_after - time.monotonic()))
            self._restart()
        return self._counter.waiting(self._uri)

    def _finish(self, process: subprocess.Popen[bytes], patience: float) -> bool:
        """Ask the process to finish and wait for it. False if it was killed by a signal."""
        child_process.ask_to_finish(process, patience)
        quiet_since, seen = time.monotonic(), load_state(self._folder)
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(timeout=0.5) >= 0
            state = load_state(self._folder)
            if state != seen:
                quiet_since, seen = time.monotonic(), state
            if time.monotonic() - quiet_since > patience + GRACE_S:
                process.kill()  # it hangs in a call; the next shipper finds the trial at hand by its number
                process.wait()
                return True

    def _may_restart(self) -> bool:
        """Count a death once, and set when to start again. False after too many deaths without progress."""
        if self._start_after == 0.0:
            shipped = load_state(self._folder).shipped
            self._deaths = 1 if shipped != self._shipped_at_death else self._deaths + 1
            self._shipped_at_death = shipped
            self._start_after = time.monotonic() + FIRST_PAUSE_S * 2.0 ** (self._deaths - 1)
        return self._deaths < MOST_DEATHS

    def _restart(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._start_after = 0.0
        log = self._folder / LOG_NAME
        keep = log.exists() and log.stat().st_size < _MAX_LOG_BYTES
        with log.open("ab" if keep else "wb") as errors:
            return child_process.start(
                "gradstab.tracking.shipper", ["--folder", str(self._folder)], output=errors, env=self._env
            )
