"""What MLflow holds is enough: on another machine the same table, the same arrays, the same intervals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gradstab import load_results
from gradstab.errors import GradstabError, UsageError
from gradstab.record.segments import segment_paths
from gradstab.record.shipping_order import load_order
from gradstab.report.findings import study_findings
from gradstab.report.pictures import all_pictures
from gradstab.study.study import Study
from gradstab.tracking.reading import split_link
from tests.fakes import make_mixed_records
from tests.report.planted import plant
from tests.tracking.conftest import MakeFolder
from tests.tracking.notebook import ship

STUDY = Study.model_validate(
    {
        "name": "shared", "question": "Where?", "budget": {"trials": 12},
        "space": {
            "depth": {"type": "log_integer", "low": 2, "high": 16},
            "init_scale": {"type": "log_real", "low": 0.5, "high": 4.0},
        },
    }
)  # fmt: skip


@pytest.fixture
def folder(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    records = make_mixed_records(12)
    folder = make_folder([records[:6], records[6:]], name="shared", study="shared", resolved=STUDY.dump())
    content = {"schema_version": 1, "study_id": load_order(folder).study_id, "study": STUDY.dump()}
    (folder / "study.json").write_text(json.dumps(content), encoding="utf-8")
    ship(folder)
    return folder


def test_results_from_mlflow_alone_are_those_of_the_driver(folder: Path, tmp_path: Path) -> None:
    uri = load_order(folder).uri
    here = load_results(folder)
    for there in (load_results(uri), load_results("shared", tracking=uri, results=str(tmp_path / "none"))):
        assert there.folder.path != folder
        assert there.trials.equals(here.trials)
        assert there.stable_intervals() == here.stable_intervals()
        assert (there.trajectory(7)["log10_delta_norm"] == here.trajectory(7)["log10_delta_norm"]).all()


def test_phase_diagram_and_figures_of_another_machine_are_those_of_the_driver(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = plant(tmp_path / "made", trials=60)
    # without runs of their own: table, diagram and figures need none
    known = {"study_id": planted.study_id(), "resolved": planted.study().dump(), "child_runs": 0}
    folder = make_folder(name="driver", study="planted", **known)
    shutil.copytree(planted.path, folder, dirs_exist_ok=True)
    ship(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", load_order(folder).uri)
    here = load_results(folder)
    table, diagram, figures = here.trials, here.phase_diagram(), all_pictures(study_findings(here))
    folder.rename(tmp_path / "out of reach")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("GRADSTAB_RESULTS", str(tmp_path / "empty"))
    there = load_results("planted")
    assert there.folder.path.is_relative_to(tmp_path / "cache")
    assert there.trials.equals(table)
    assert len(table) == 60
    found = there.phase_diagram()
    assert np.array_equal(found.cells.unit_MD, diagram.cells.unit_MD)
    assert np.array_equal(found.p_region, diagram.p_region)
    assert np.array_equal(found.p_next, diagram.p_next)
    again = all_pictures(study_findings(there))
    assert [each.name for each in again] == [each.name for each in figures] != []
    assert all(one.png == other.png for one, other in zip(again, figures, strict=True)), "figures, byte for byte"


def test_what_is_in_the_cache_is_not_fetched_again(folder: Path) -> None:
    uri = load_order(folder).uri
    cached = load_results(uri).folder.path
    stamps = {path.name: path.stat().st_mtime_ns for path in segment_paths(cached)}
    load_results(uri)
    assert {path.name: path.stat().st_mtime_ns for path in segment_paths(cached)} == stamps


def test_a_machine_without_the_study_asks_the_store_that_is_set(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADSTAB_RESULTS", str(tmp_path / "empty"))
    with pytest.raises(UsageError, match="'shared'"):
        load_results("shared")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", load_order(folder).uri)
    assert len(load_results("shared").trials) == 12


def test_faults_are_one_sentence(folder: Path) -> None:
    uri = load_order(folder).uri
    with pytest.raises(UsageError, match="must hold the study 'other', but has none"):
        load_results("other", tracking=uri)
    with pytest.raises(GradstabError, match=r"cannot read results from MLflow at http://127\.0\.0\.1:9: "):
        load_results("shared", tracking="http://127.0.0.1:9")


def test_a_link_from_the_browser_names_store_and_experiment() -> None:
    link = "http://host:5000/#/experiments/12/runs?workflowType=machine_learning&viewStateShareKey=gradstab-map"
    assert split_link(link) == ("http://host:5000", "12")
    assert split_link("https://host/mlflow/#/experiments/3/runs/ab") == ("https://host/mlflow", "3")
    assert split_link("sqlite:////data/mlflow.db") == ("sqlite:////data/mlflow.db", None)
