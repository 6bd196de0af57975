"""A study of version 0.1.0 goes on: it opens, is judged again, continues, reports, ships, and is rebuilt when it is lost.

New trials depend on the machine's kernels, so the 60 old records and their counts are what is compared.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
from pydantic import Field

from gradstab import Criterion, load_results
from gradstab.record.segments import read_segment, segment_paths
from gradstab.record.statistics.layers import ProbeStatistic
from gradstab.record.statistics.registry import STATISTICS
from gradstab.record.study_folder import StudyFolder
from gradstab.results.results import Results
from gradstab.session.drive import drive
from gradstab.session.parts import Listener
from gradstab.study.recipe import Recipe
from gradstab.study.settings import resolve_settings
from gradstab.study.study import Study
from gradstab.study.versions import Since
from tests.endtoend.command import Place, assert_exactly_once, ship_here, values_of
from tests.golden_study import (
    FINGERPRINT,
    GOLDEN,
    NAME,
    NUM_TRIALS,
    PARENT_RUN_ID,
    STUDY_ID,
    judged_then,
    put_folder,
    put_mlflow,
    verdicts_then,
)


def test_it_opens_and_every_trial_is_judged_as_it_was():
    results = load_results(GOLDEN / "results")
    assert results.verdicts() == verdicts_then()
    assert results.corrupt_segments == []
    then, trials = judged_then(), results.trials
    assert list(trials.index) == sorted(then)
    for number, told in then.items():
        found = trials.loc[number]
        assert (found["verdict"], str(found["seed"])) == (told["verdict"], told["seed"])
        for name in ("R", "T", "R_worst", "margin", "tail_loss", "accuracy", "init_scale"):
            expected = float(told[name]) if told[name] else math.nan
            assert trials[name][number] == pytest.approx(expected, rel=1e-9, nan_ok=True), name


@pytest.mark.parametrize(
    ("criterion", "stable", "verdicts"),
    [  # what version 0.1.0 said under these criteria
        (Criterion(ratio_band=0.5), 18, {"diverged": 5, "exploding": 17, "partial": 3, "stable": 18, "trained_off_phase": 11, "vanishing": 6}),
        (Criterion(ratio_band=2.0, target_fraction=0.25), 16, {"diverged": 5, "partial": 24, "stable": 16, "untrainable": 14, "vanishing": 1}),
        (Criterion(responses=("R_worst",)), 34, {**verdicts_then()}),
    ],
)  # fmt: skip
def test_it_is_judged_again_under_another_criterion(criterion: Criterion, stable: int, verdicts: dict[str, int]):
    results = load_results(GOLDEN / "results", criterion=criterion)
    assert results.verdicts() == Counter(verdicts)
    assert (results.trials["margin"] > 0).sum() == stable


def test_its_fingerprint_is_the_one_that_mlflow_and_optuna_know():
    folder = StudyFolder(GOLDEN / "results")
    assert folder.began_in() == "0.1.0"
    assert folder.study().fingerprint(folder.began_in()) == FINGERPRINT


def test_it_continues_reports_and_ships_into_a_new_mlflow(tmp_path: Path, empty_database: Path):
    place = Place(tmp_path, NAME).with_database(empty_database)
    folder = put_folder(tmp_path / "results")
    before = values_of(place.records())
    done = place.call("run", NAME, "--trials", "64", "--engine", "serial")
    assert done.returncode == 0, done.stderr
    assert place.call("report", NAME).returncode == 0
    assert "set aside" not in done.stderr
    assert_exactly_once(place, 64)
    assert {number: values for number, values in values_of(place.records()).items() if number < NUM_TRIALS} == before
    (parent,) = place.mlflow_runs("study")
    assert (parent.data.tags["fingerprint"], parent.data.tags["study_id"]) == (FINGERPRINT, STUDY_ID)
    assert parent.data.tags["began_in"] == "0.1.0"
    old = [run.data.tags["verdict"] for run in place.mlflow_runs("trial") if int(run.data.tags["trial"]) < NUM_TRIALS]
    assert Counter(old) == verdicts_then()
    assert (folder / "report" / "index.html").is_file()
    # and version 0.1.0 can read it again: no field that it does not know
    assert StudyFolder(folder).began_in() == "0.1.0"
    declared = json.loads((folder / "study.json").read_text())["study"]
    then = json.loads((GOLDEN / "results" / "study.json").read_text())["study"]
    assert declared == {**then, "budget": {**then["budget"], "trials": 64}}


def test_it_is_read_from_its_old_mlflow_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    put_mlflow(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    results = load_results(NAME, tracking=f"sqlite:///{tmp_path}/mlflow/mlflow.db")
    assert results.verdicts() == verdicts_then()
    assert (results.folder.study_id(), results.folder.began_in()) == (STUDY_ID, "0.1.0")


def test_a_lost_folder_is_rebuilt_from_its_old_mlflow(tmp_path: Path):
    """The study file is all that is left; that the study began in 0.1.0 is found out by trying."""
    put_mlflow(tmp_path / "results")
    place = Place(tmp_path, NAME)
    (tmp_path / "golden.py").write_text((GOLDEN / "results" / "declared.py.txt").read_text())
    then = {run.data.tags["trial"]: run.info.run_id for run in place.mlflow_runs("trial")}
    done = place.call("run", "golden", "--trials", "64", "--engine", "serial")
    assert done.returncode == 0, done.stderr
    assert "4 segments were restored from MLflow" in done.stderr
    assert_exactly_once(place, 64)
    folder = StudyFolder(place.folder)
    assert (folder.study_id(), folder.began_in()) == (STUDY_ID, "0.1.0")
    assert {path.read_bytes() for path in segment_paths(GOLDEN / "results")} <= {p.read_bytes() for p in segment_paths(place.folder)}  # fmt: skip
    assert [run.info.run_id for run in place.mlflow_runs("study")] == [PARENT_RUN_ID]
    now = {run.data.tags["trial"]: run.info.run_id for run in place.mlflow_runs("trial")}
    assert {trial: now[trial] for trial in then} == then


class GrownRecipe(Recipe):
    dropout: Annotated[float, Field(ge=0, lt=1), Since("0.9.0")] = 0.0


class GrownStudy(Study):
    recipe: GrownRecipe = GrownRecipe()


ALIVE = ProbeStatistic(
    "alive_fraction",
    "1",
    "fraction of units whose activation is not zero on some probed sample",
    read=lambda of: of.a_max_LnU.ne(0).double().mean(2),
)


def continued(kind: type[Study], results: Path, trials: int) -> Results:
    """The golden study continued in this process by a program whose studies are of this kind."""
    folder = StudyFolder.of(results, NAME)
    study = kind.model_validate({**folder.study().dump(), "budget": {"trials": trials}})
    said: list[str] = []
    settings = resolve_settings(study, None, str(results))
    drive(study, settings, source=None, engine="serial", listener=Listener(found=said.append), report=False)
    assert not any("set aside" in sentence for sentence in said)
    return Results(folder)


@pytest.mark.usefixtures("trains_here")
def test_a_program_with_one_more_statistic_and_field_continues_it_and_this_one_goes_on(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
):
    place = Place(tmp_path, NAME).with_database(empty_database)
    put_folder(tmp_path / "results")
    before = values_of(place.records())
    ship_here(monkeypatch)
    with monkeypatch.context() as later:
        later.setitem(STATISTICS, ALIVE.name, ALIVE)
        later.setattr("gradstab.record.study_folder.Study", GrownStudy)
        grown = continued(GrownStudy, tmp_path / "results", 63)
        assert grown.verdicts().total() == 63
        assert np.isnan(grown.trajectory(0)[ALIVE.name]).all()
        new = grown.trajectory(62)
        np.testing.assert_allclose(new[ALIVE.name], 1 - new["dead_fraction"], atol=1e-6)
    back = continued(Study, tmp_path / "results", 66)
    assert back.verdicts().total() == 66
    assert np.isfinite(back.trajectory(62).series[ALIVE.name]).any()
    assert ALIVE.name not in back.trajectory(65)
    assert back.folder.began_in() == "0.1.0"
    now = values_of(place.records())
    assert {number: now[number] for number in before} == before
    assert_exactly_once(place, 66)
    assert all(read_segment(path) for path in segment_paths(place.folder))
