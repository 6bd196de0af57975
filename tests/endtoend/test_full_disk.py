"""A disk that fills up under a running study: exit 4, nothing half-written read as whole, and the study goes on after."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endtoend.command import Place

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("kills")]

AWAY = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1.5 MB in memory; skips where this user may not mount one."""
    folder = tmp_path / "results"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_stops_the_study_and_loses_nothing(tmp_path: Path, small_disk: Path) -> None:
    place = Place(tmp_path)
    place.write_study(trials=2000, steps=100)
    stopped = place.run("run", "study", "--engine", "serial", **AWAY)
    assert stopped.returncode == 4, stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert "No space left on device" in stopped.stderr
    recorded = sorted(record.number for record in place.records())  # every segment is whole, or this raises
    assert 0 < len(recorded) < 2000
    assert not list(place.folder.glob(".segment-*"))
    subprocess.run(["mount", "-o", "remount,size=60m", str(small_disk)], check=True)
    total = len(recorded) + 40
    done = place.run("run", "study", "--engine", "serial", "--trials", str(total), **AWAY)
    assert done.returncode == 0, done.stderr
    numbers = [record.number for record in place.records()]
    assert sorted(numbers) == sorted(set(numbers))
    assert set(recorded) <= set(numbers)
    told = {trial.number for trial in place.optuna_trials() if trial.state.name == "COMPLETE"}
    assert told == set(numbers)
