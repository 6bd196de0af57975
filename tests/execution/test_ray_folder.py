"""Ray's sockets get a folder whose name is short enough, however long TMPDIR is."""

from __future__ import annotations

import atexit
import os
import stat
from pathlib import Path

import pytest

from gradstab.execution import ray_connection
from gradstab.execution.ray_connection import ExecutionError


@pytest.fixture(autouse=True)
def removed_at_the_end(monkeypatch: pytest.MonkeyPatch):
    """Folders are removed after each test, not when the tests have ended."""
    kept: list[str] = []
    monkeypatch.setattr(atexit, "register", lambda _remove, folder, **_: kept.append(folder))
    yield
    for folder in kept:
        Path(folder).rmdir()


@pytest.fixture
def long_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / ("x" * 80)
    folder.mkdir()
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_a_short_folder_is_ray_s_own_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    assert ray_connection._short_folder() is None


@pytest.mark.usefixtures("long_folder")
def test_in_place_of_a_long_one_a_private_folder_is_made() -> None:
    folder = ray_connection._short_folder()
    assert folder is not None
    assert len(os.fsencode(folder)) + ray_connection._SOCKET_BYTES <= 103
    assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700


def test_where_none_can_be_written_a_sentence_names_tmpdir(long_folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(ray_connection, "_SHORT_PLACES", ("/proc/nowhere",))
    monkeypatch.setattr("tempfile.tempdir", str(long_folder))
    with pytest.raises(ExecutionError, match=f"TMPDIR is {long_folder}.*shorter path.*--engine serial"):
        ray_connection._short_folder()
