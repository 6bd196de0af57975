"""A server on a leash ends when its holder does."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

SERVER = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"


@pytest.mark.parametrize("end", ["the holder dies", signal.SIGTERM])
def test_the_server_ends_with_its_holder_and_of_no_ctrl_c(end: str | signal.Signals) -> None:
    command = [sys.executable, "-m", "gradstab.system.child_server", sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as leash:
        assert leash.stdin is not None
        assert leash.stdout is not None
        server = psutil.Process(int(leash.stdout.readline()))
        for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to everybody; the holder decides
            leash.send_signal(number)
        assert server.is_running()
        if isinstance(end, signal.Signals):
            leash.send_signal(end)
        else:
            leash.stdin.close()
        assert leash.wait(60) == 0
        assert not server.is_running()


def test_a_server_that_ends_by_itself_is_not_taken_for_one_that_was_ended() -> None:
    command = [sys.executable, "-m", "gradstab.system.child_server", sys.executable, "-c", "raise SystemExit(3)"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as leash:
        assert leash.wait(60) == 3
