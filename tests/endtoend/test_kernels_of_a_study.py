"""A study keeps the kernels of the version in which it began, also when it is resumed; a new one takes the newest."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gradstab import LogInteger, Study
from gradstab.activations.registry import find_activation, passes_of
from gradstab.loop.ports import Slot
from gradstab.loop.trial import Trial
from gradstab.record.study_folder import StudyFolder
from gradstab.record.trajectory import Trajectory
from gradstab.session.drive import drive
from gradstab.study.settings import resolve_settings
from gradstab.training.work import TrainingWork
from tests.endtoend.command import Place, ship_here

SLOT = Slot("cpu-0")


def _study(trials: int) -> Study:
    return Study(
        name="kernels",
        question="Which kernels?",
        space={"depth": LogInteger(2, 8)},
        recipe={"activation": "tanh", "width": 32, "steps": 20, "learning_rate": 0.1},
        budget={"trials": trials},
        tracking={"heat_maps": 0},
    )


@pytest.mark.usefixtures("trains_here")
@pytest.mark.parametrize("began_in", ["0.1.0", pytest.param("0.2.0", marks=pytest.mark.faults)])
def test_every_trial_trains_with_the_kernels_of_the_version_in_which_the_study_began(
    began_in: str, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
):
    ship_here(monkeypatch)
    place = Place(tmp_path, "kernels").with_database(empty_database)
    folder = StudyFolder.of(tmp_path / "results", "kernels")
    if began_in != _study(2).versions()[-1]:
        folder.path.mkdir(parents=True)
        folder.claim(_study(2), None, began_in=began_in)
    for trials in (2, 4):  # begun, and resumed
        study = _study(trials)
        settings = resolve_settings(study, None, str(tmp_path / "results"))
        drive(study, settings, source=None, engine="serial", report=False)
    assert folder.began_in() == began_in
    (parent,) = place.mlflow_runs("study")
    assert parent.data.tags["began_in"] == began_in
    records = place.records()
    assert len(records) == 4
    passes = {version: _values(version) for version in ("0.1.0", "0.2.0")}
    for record in records:
        recipe = study.recipe.at(record.point)
        trial = Trial(record.number, {}, recipe, record.seed)
        trained = {version: _trained(study, version, trial) for version in passes}
        assert record.trajectory is not None
        assert record.trajectory["loss"].tobytes() == trained[began_in]["loss"].tobytes()
        if passes["0.1.0"] != passes["0.2.0"]:  # two kernels may agree bit for bit on some machine
            assert trained["0.1.0"]["loss"].tobytes() != trained["0.2.0"]["loss"].tobytes()


def _trained(study: Study, version: str, trial: Trial) -> Trajectory:
    return TrainingWork(study.data, study.seed, began_in=version).run([trial], SLOT)[0]


def _values(version: str) -> bytes:
    z = torch.linspace(-3, 3, 1000)
    passes_of(find_activation("tanh"), version).apply(z, z)
    return z.numpy().tobytes()
