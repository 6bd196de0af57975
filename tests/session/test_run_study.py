"""The Python API: what a script or a notebook that runs a study is told, and what it can ask afterwards."""

from __future__ import annotations

import pydoc
from pathlib import Path

import pytest

import gradstab
from gradstab import LogInteger, LogReal, Study, run_study
from gradstab.errors import GradstabError
from gradstab.loop.progress import Progress
from gradstab.session import drive
from tests.fakes import NoTracker

STUDY = Study.model_validate(
    {
        "name": "called",
        "question": "Is the caller told?",
        "space": {"depth": LogInteger(2, 6), "init_scale": LogReal(0.5, 4.0)},
        "recipe": {"width": 16, "steps": 5, "batch_size": 32, "probe_samples": 64},
        "budget": {"trials": 6},
    }
)


@pytest.fixture(autouse=True)
def unshipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(drive, "start_tracker", lambda *_: NoTracker())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("MLFLOW_TRACKING_URI", "OPTUNA_STORAGE", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


def test_a_callback_sees_every_state_and_the_bar_is_drawn_unless_it_is_not_wanted(tmp_path, capsys):
    seen: list[tuple[int, int]] = []

    def note(progress: Progress) -> None:
        seen.append((progress.done, progress.total))

    results = run_study(STUDY, engine="serial", results=str(tmp_path), callback=note)
    assert len(results) == 6
    assert seen[-1] == (6, 6)
    assert seen == sorted(seen)
    assert "6/6 trials" in capsys.readouterr().err
    run_study(STUDY, engine="serial", results=str(tmp_path), show_progress=False)
    assert capsys.readouterr().err == ""


def test_the_next_call_continues_after_an_exception_in_the_callback(tmp_path):
    def fail(progress: Progress) -> None:
        if progress.done:
            raise GradstabError("enough")

    with pytest.raises(GradstabError, match="enough"):
        run_study(STUDY, engine="serial", results=str(tmp_path), show_progress=False, callback=fail)
    assert len(run_study(STUDY, engine="serial", results=str(tmp_path), show_progress=False)) == 6


def test_what_every_trial_shares_is_there(tmp_path):
    results = run_study(STUDY, engine="serial", results=str(tmp_path), show_progress=False)
    assert results.constants["width"] == 16
    assert not results.constants.keys() & {"depth", "init_scale"}


def test_the_package_shows_its_public_names_and_their_help():
    names = {"Study", "Criterion", "LogReal", "run_study", "load_results", "probe", "__version__"}
    assert names <= set(dir(gradstab))
    text = pydoc.plain(pydoc.render_doc(gradstab))
    for words in ("run_study(study", "load_results(study", "class Criterion", "class Study"):
        assert words in text
