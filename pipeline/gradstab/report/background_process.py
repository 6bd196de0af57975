"""The parent's side of the process that remakes the report: started once a report is worth its cost."""

from __future__ import annotations

import contextlib
import math
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from gradstab.report.pace import RunSoFar, is_remake_due
from gradstab.system import child_process

LOG_NAME = "report.log"
FIRST_COST_S = 4.0  # CPU seconds to start the process and make a first report on a fast machine
AHEAD_S = 8.0  # the process for the last report alone starts before it is needed, because its imports take a while
TELL_EVERY_S = 1.0
SILENCE_S = 2.0
# One thread, because the matrices are small. And glibc keeps the memory of arrays that come and go: with its own bounds
# it returns them to the system each time, which then has to clear as much anew, for a twentieth of a report's CPU.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
}
PATIENCE_S = 120.0  # for the last report; it is made from a few thousand trials in seconds


class ReportProcess:
    """Remakes a study's report in the background.

    Args:
        folder: results folder of the study.
        fewest: trials on record before the process is started; infinite where no report is wanted.
    """

    def __init__(self, folder: Path, fewest: float) -> None:
        self._folder = folder
        self._fewest = fewest
        self._began = self._told = time.monotonic()
        self._worth = False
        self._process: subprocess.Popen[bytes] | None = None

    def notify(self, done: int, new: int, seconds_left: float | None, num_slots: int) -> None:
        """Take note of how far the study has come.

        Args:
            done: trials on record.
            new: how many of them this run has added.
            seconds_left: until the study ends; None while that is unknown.
            num_slots: slots that the run has.
        """
        now = time.monotonic()
        self._worth = new > 0 and done >= self._fewest
        if not self._worth or now - self._told < TELL_EVERY_S:
            return
        self._told = now
        left = math.inf if seconds_left is None else seconds_left
        run = RunSoFar(cpu_seconds=num_slots * (now - self._began), seconds_left=left)
        if self._process is None and (run.seconds_left < AHEAD_S or is_remake_due(run, 0.0, FIRST_COST_S)):
            self._process = self._start()
        if self._process is not None:
            child_process.send_numbers(self._process, run.cpu_seconds, run.seconds_left)

    def close(self, stop: Callable[[], bool], say: Callable[[str], None]) -> None:
        """Have the last report made and wait for it, unless the user stops or it takes too long."""
        if not self._worth or stop():
            self.abandon()
            return
        self._process = self._process or self._start()
        child_process.ask_to_finish(self._process)
        began, said = time.monotonic(), False
        end = began + PATIENCE_S
        while not stop() and time.monotonic() < end:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.2)
                return
            if not said and time.monotonic() - began > SILENCE_S:
                say("the report is being made; Ctrl-C leaves it out")
                said = True
        self.abandon()

    def abandon(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._folder / LOG_NAME).open("wb") as log:
            arguments = ["--folder", str(self._folder)]
            return child_process.start("gradstab.report.background", arguments, output=log, env=ENVIRONMENT)
