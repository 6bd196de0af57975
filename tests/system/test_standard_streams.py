"""A command that a service manager starts without standard streams."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_command_runs_with_streams_closed_and_no_file_takes_their_numbers(tmp_path: Path, closed: str) -> None:
    script = """
import os, sys
from gradstab import cli
sys.argv = ["gradstab", "list", "--results", os.getcwd()]
try:
    cli.main()
finally:
    with open("opened", "w") as file:
        file.write(str(file.fileno()))
"""
    done = subprocess.run(["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, script], cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert int((tmp_path / "opened").read_text()) > 2


def test_what_a_command_says_goes_nowhere_and_into_no_file(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gradstab", "status", "no-such-study", "--results", str(tmp_path)]
    done = subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *command], check=False)
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []
