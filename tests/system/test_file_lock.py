"""One driver a folder and a storage file: here, and as seen from another machine that shares the folder."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gradstab.errors import GradstabError, StudyHeldError, UsageError
from gradstab.record.study_folder import StudyFolder
from gradstab.session.study_lock import hold_study
from gradstab.study.settings import Setting, Settings
from gradstab.system import file_lock
from gradstab.system.file_lock import hold_lock, holder_of
from gradstab.system.storage_url import parse_storage, parse_tracking

ELSEWHERE = "process 7 on another-machine, since 2026-01-01 00:00:00 UTC"
HOLD = "import sys, time; from pathlib import Path; from gradstab.system.file_lock import hold_lock\nwith hold_lock(Path(sys.argv[1]), 'it'):\n  print('held', flush=True); time.sleep(60)"  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(file_lock, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(file_lock, "WATCH_SECONDS", 0.6)


def settings(root: Path, storage: str, tracking: str = "http://h") -> Settings:
    return Settings(
        results=Setting(root, "test"),
        tracking=Setting(parse_tracking(tracking), "test"),
        storage=Setting(parse_storage(storage), "test"),
        ray_address=Setting(None, "test"),
        mlflow_env={},
    )


def test_a_second_holder_is_told_who_holds_it_and_a_killed_one_holds_nothing(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with (
            pytest.raises(
                StudyHeldError, match=f"it can be driven by one process at a time, and process {process.pid} on "
            ),
            hold_lock(path, "it"),
        ):
            pass
        assert f"process {process.pid} on " in (holder_of(path) or "")
        process.send_signal(signal.SIGKILL)
    assert holder_of(path) is None
    with hold_lock(path, "it"):
        assert f"process {os.getpid()} on " in (holder_of(path) or "")
    assert path.read_text() == ""


def test_a_living_holder_on_another_machine_is_seen_though_its_lock_is_not(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    path.write_text(ELSEWHERE)
    monkeypatch.setattr(file_lock, "WATCH_SECONDS", 60.0)  # the first beat ends it
    ended = threading.Event()
    heart = threading.Thread(target=file_lock._beat, args=(path, ended))
    heart.start()
    try:
        with pytest.raises(StudyHeldError, match="process 7 on another-machine"), hold_lock(path, "it"):
            pass
    finally:
        ended.set()
        heart.join()
    assert path.read_text() == ELSEWHERE
    monkeypatch.setattr(file_lock, "WATCH_SECONDS", 0.6)
    with hold_lock(path, "it"):  # now its heart stands still
        assert str(os.getpid()) in path.read_text()


def test_the_holder_s_heart_beats(tmp_path):
    path = tmp_path / "lock"
    with hold_lock(path, "it"):
        before = path.stat().st_mtime_ns
        deadline = time.monotonic() + 60
        while path.stat().st_mtime_ns == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize("scheme", ["journal:", "sqlite:///"])
def test_a_storage_file_has_one_driver_whatever_the_results_folder(tmp_path, scheme):
    shared = f"{scheme}{tmp_path / 'shared' / 'storage'}"
    one, two = StudyFolder.of(tmp_path / "one", "s"), StudyFolder.of(tmp_path / "two", "t")
    with hold_study(one, settings(tmp_path, shared)):
        refusal = pytest.raises(GradstabError, match=r"the storage file .* can be driven by one process .*postgresql:")
        with refusal, hold_study(two, settings(tmp_path, shared)):
            pass
        with hold_study(two, settings(tmp_path, f"journal:{two.path / 'optuna.journal'}")):
            pass


def test_a_file_cannot_be_taken_over_and_optuna_and_mlflow_need_two_databases(tmp_path):
    folder = StudyFolder.of(tmp_path, "s")
    refusal = pytest.raises(UsageError, match="--force must have PostgreSQL as storage, got journal:/a")
    with refusal, hold_study(folder, settings(tmp_path, "journal:/a"), force=True):
        pass
    refusal = pytest.raises(UsageError, match=r"must be two databases, got postgresql://me:\*\*\*@h/db")
    with refusal, hold_study(folder, settings(tmp_path, "postgresql://me:x@h/db", "postgresql://other:y@h/db")):
        pass


def test_a_glance_at_who_holds_the_lock_refuses_nobody(tmp_path):
    path = tmp_path / "lock"
    path.touch()
    with path.open() as glance:
        fcntl.flock(glance, fcntl.LOCK_SH)
        threading.Timer(0.05, lambda: fcntl.flock(glance, fcntl.LOCK_UN)).start()
        with hold_lock(path, "it"):
            pass
