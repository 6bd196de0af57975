"""Links and the command of the UI."""

from __future__ import annotations

from pathlib import Path

from gradstab.system.storage_url import parse_tracking
from gradstab.tracking.links import browser_base, run_link, study_link, ui_command, ui_environment, view_link
from gradstab.tracking.shipping_files import ShipperState, save_state


def test_links_open_the_view_for_training() -> None:
    link = view_link("http://h:5000/", "3")
    assert link.startswith("http://h:5000/#/experiments/3/runs?workflowType=machine_learning&compareRunsMode=CHART&")
    assert link.endswith("&viewStateShareKey=gradstab-map")
    assert run_link("http://h:5000", "3", "ab").endswith("/#/experiments/3/runs/ab?workflowType=machine_learning")


def test_the_link_of_a_study_is_known_once_something_is_shipped(tmp_path: Path) -> None:
    assert study_link("http://h", tmp_path) == study_link("http://h", None)
    save_state(tmp_path, ShipperState(experiment_id="12"))
    assert study_link("http://h", tmp_path) == view_link("http://h", "12")


def test_a_password_does_not_show_in_the_list_of_processes() -> None:
    uri = "postgresql://me:secret@db/mlflow"
    command = ui_command(Path("/data/artifacts"), 5001)
    assert command[-2:] == ["--default-artifact-root", "/data/artifacts"]
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert ui_environment(parse_tracking(uri))["MLFLOW_BACKEND_STORE_URI"] == uri


def test_browser_is_sent_where_it_finds_the_server(monkeypatch):
    monkeypatch.delenv("GRADSTAB_MLFLOW_UI", raising=False)
    assert browser_base(parse_tracking("sqlite:////tmp/mlflow.db")) is None
    assert browser_base(parse_tracking("http://mlflow:5000/")) == "http://mlflow:5000"
    monkeypatch.setenv("GRADSTAB_MLFLOW_UI", "http://127.0.0.1:15000/")
    assert browser_base(parse_tracking("http://mlflow:5000")) == "http://127.0.0.1:15000"
    assert browser_base(parse_tracking("sqlite:////tmp/mlflow.db")) is None, "a store that no server serves has no link"
