"""A study belongs to the MLflow store that it was shipped to, whatever the environment says later."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gradstab.commands import lookup
from gradstab.commands.ui import require_same_store
from gradstab.errors import UsageError
from tests.endtoend.command import Place


@pytest.fixture
def shipped_elsewhere(tmp_path: Path, empty_database: Path) -> Place:
    """A study of four trials in a store that the environment of its run named."""
    place = Place(tmp_path).with_database(empty_database)
    shutil.copy(empty_database, tmp_path / "other.db")
    place.write_study(trials=4)
    done = place.call("run", "study", "--engine", "serial", MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/other.db")
    assert done.returncode == 0, done.stderr
    return place


def test_without_the_variable_every_command_goes_where_the_study_was_shipped(shipped_elsewhere, monkeypatch):
    place = shipped_elsewhere
    monkeypatch.chdir(place.root)
    monkeypatch.setenv("GRADSTAB_RESULTS", str(place.root / "results"))
    folder, settings = lookup.find_begun("study", None)
    assert settings.tracking.value.url == f"sqlite:///{place.root}/other.db"
    assert settings.tracking.origin == "as before"
    require_same_store(folder, settings)
    status = place.call("status", "study")
    assert status.returncode == 0
    more = place.call("run", "study", "--engine", "serial", "--trials", "6")
    assert more.returncode == 0, more.stderr
    assert "other.db (as before)" in " ".join(more.stderr.split())
    assert not (place.root / "results" / "mlflow" / "artifacts").exists()


def test_the_ui_of_another_store_is_refused_and_remove_says_what_stays(shipped_elsewhere):
    place = shipped_elsewhere
    default = f"sqlite:///{place.root}/results/mlflow/mlflow.db"
    refused = place.call("ui", "study", MLFLOW_TRACKING_URI=default)
    assert refused.returncode == 2
    assert "study was shipped to another MLflow than" in " ".join(refused.stderr.split())
    removed = place.call("remove", "study", "--yes", MLFLOW_TRACKING_URI=default)
    assert removed.returncode == 0, removed.stderr
    assert "its runs stay in the MLflow that it was shipped to before" in " ".join(removed.stderr.split())


def test_a_results_folder_that_was_moved_keeps_its_own_store(tmp_path, empty_database, monkeypatch):
    place = Place(tmp_path / "old").with_database(empty_database)
    place.write_study(trials=4)
    assert place.call("run", "study", "--engine", "serial").returncode == 0
    shutil.move(place.root / "results", tmp_path / "new")
    monkeypatch.chdir(tmp_path)
    _, settings = lookup.find_begun("study", str(tmp_path / "new"))
    assert settings.tracking.value.url == f"sqlite:///{tmp_path}/new/mlflow/mlflow.db"
    with pytest.raises(UsageError):
        lookup.find_begun("study", str(tmp_path / "old" / "results"))
