"""A HOME that is missing or cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gradstab.execution.cluster_address import enable_token_auth
from gradstab.system.home import can_hold, writable_or_temporary

NOWHERE = "/dev/null/home"  # no user, root neither, can make a folder below a device


def test_what_home_can_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text("t")
    assert can_hold(".cache/deep")
    assert can_hold("token")
    assert not can_hold("token/below")
    monkeypatch.setenv("HOME", NOWHERE)
    assert not can_hold(".cache")
    assert not enable_token_auth()


def test_a_folder_that_cannot_be_made_is_replaced_by_one_for_this_process(tmp_path: Path) -> None:
    assert writable_or_temporary(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    replaced = writable_or_temporary(Path(NOWHERE) / "studies")
    replaced.mkdir()
    assert replaced.stat().st_uid == os.geteuid()
    assert oct(replaced.parent.stat().st_mode & 0o777) == "0o700"
    replaced.rmdir()


def test_matplotlib_has_a_place_and_says_nothing_and_nothing_is_left(tmp_path: Path) -> None:
    script = (
        "from gradstab.system.home import prepare_home; prepare_home();"
        "import matplotlib, os; print(matplotlib.get_cachedir())"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "MPL"))}
    environment = {**kept, "HOME": NOWHERE, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert Path(done.stdout.strip()).is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []
