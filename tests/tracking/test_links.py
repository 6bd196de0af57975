"""Links and the command of the UI."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from gradstab.commands import ui
from gradstab.errors import GradstabError
from gradstab.study.settings import ResultsSettings, Setting
from gradstab.system.storage_url import parse_tracking
from gradstab.tracking import links
from gradstab.tracking.links import browser_base, run_fragment, study_link, ui_command, ui_environment, view_link
from gradstab.tracking.shipping_files import ShipperState, save_state
from tests.tracking.lossy_proxy import free_port


def test_links_open_the_view_for_training() -> None:
    link = view_link("http://h:5000/", "3")
    assert link.startswith("http://h:5000/#/experiments/3/runs?workflowType=machine_learning&compareRunsMode=CHART&")
    assert link.endswith("&viewStateShareKey=gradstab-map")
    assert run_fragment("3", "ab") == "#/experiments/3/runs/ab?workflowType=machine_learning"


def test_the_link_of_a_study_is_known_once_something_is_shipped(tmp_path: Path) -> None:
    assert study_link("http://h", tmp_path) == study_link("http://h", None)
    save_state(tmp_path, ShipperState(experiment_id="12"))
    assert study_link("http://h", tmp_path) == view_link("http://h", "12")


def test_the_ui_is_served_to_this_machine_alone_from_the_store_that_its_environment_names() -> None:
    command = ui_command(Path("/data/artifacts"), 5001)
    assert command[-2:] == ["--default-artifact-root", "/data/artifacts"]
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert ui_environment(parse_tracking("sqlite:////a.db"))["MLFLOW_BACKEND_STORE_URI"] == "sqlite:////a.db"


def test_a_password_does_not_show_in_the_list_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is a real process, looked at in the machine's own list and ended as soon as it is there."""
    uri = "postgresql://me:secret@127.0.0.1:9/mlflow"
    settings = ResultsSettings(Setting(tmp_path, "test"), Setting(parse_tracking(uri), "test"), mlflow_env={})
    shown: list[list[str]] = []
    held: list[str | None] = []

    def look(_base: str, process: subprocess.Popen[bytes], _log: Path) -> None:
        children: list[psutil.Process] = []
        while not children:  # the server is a child of the process that ends it with its driver
            assert process.poll() is None
            children = psutil.Process(process.pid).children(recursive=True)
        shown.extend(each.cmdline() for each in [psutil.Process(process.pid), *children])
        held.extend(each.environ().get("MLFLOW_BACKEND_STORE_URI") for each in children)
        raise KeyboardInterrupt

    monkeypatch.setattr(ui, "_await", look)
    ui.serve_ui(settings, None, free_port())
    assert held[0] == uri, "the server must be told its store"
    assert len(shown) >= 2
    assert "secret" not in str(shown)


def test_a_server_that_cannot_start_is_told_in_one_sentence_with_its_last_words(tmp_path, monkeypatch):
    failing = [sys.executable, "-c", "print('much'); print('the port is taken'); raise SystemExit(3)"]
    monkeypatch.setattr(links, "ui_command", lambda *_: failing)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    settings = ResultsSettings(Setting(tmp_path, "test"), Setting(parse_tracking(uri), "test"), mlflow_env={})
    said = (
        r"must start, but it ended with exit code 3: it said last 'the port is taken'; all of it is in .*mlflow-ui.log"
    )
    with pytest.raises(GradstabError, match=said):
        ui.serve_ui(settings, None, free_port())
    assert (tmp_path / ui.LOG_NAME).read_text().split() == ["much", "the", "port", "is", "taken"]


def test_browser_is_sent_where_it_finds_the_server(monkeypatch):
    monkeypatch.delenv("GRADSTAB_MLFLOW_UI", raising=False)
    assert browser_base(parse_tracking("sqlite:////tmp/mlflow.db")) is None
    assert browser_base(parse_tracking("http://mlflow:5000/")) == "http://mlflow:5000"
    monkeypatch.setenv("GRADSTAB_MLFLOW_UI", "http://127.0.0.1:15000/")
    assert browser_base(parse_tracking("http://mlflow:5000")) == "http://127.0.0.1:15000"
    assert browser_base(parse_tracking("sqlite:////tmp/mlflow.db")) is None, "a store that no server serves has no link"
