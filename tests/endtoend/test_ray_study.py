"""Whole studies on real Ray: values equal to the serial engine's, workers killed under it, a trial that is poison."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import psutil
import pytest

from gradstab.loop import calibration
from gradstab.loop.calibration import store_cost_models
from gradstab.record.failure import FailureKind
from gradstab.session.drive import drive
from gradstab.study.axes import Choice, LogInteger, LogReal
from gradstab.study.settings import Setting, Settings
from gradstab.study.study import Study
from gradstab.system.storage_url import parse_storage, parse_tracking
from gradstab.training.work import TrainingWork
from tests.endtoend.command import PATIENCE, Place, assert_exactly_once, finished, ship_here, values_of
from tests.fakes_work import PoisonousWork, StarvingWork
from tests.loop.planted_costs import learned_cost

pytestmark = pytest.mark.xdist_group("ray")  # one Ray at a time: two would share two cores


def ray_workers(process: psutil.Process) -> list[psutil.Process]:
    """Actor processes of the Ray that a driver started."""
    return [child for child in process.children(recursive=True) if title(child) == "ray::Worker.run"]


def title(process: psutil.Process) -> str:
    try:
        return next(iter(process.cmdline()), "")
    except psutil.NoSuchProcess:  # a zombie, too
        return ""


def settings_for(root: Path) -> Settings:
    return Settings(
        results=Setting(root / "results", "test"),
        tracking=Setting(parse_tracking(f"sqlite:///{root}/results/mlflow/mlflow.db"), "test"),
        storage=Setting(parse_storage(f"journal:{root}/results/study/optuna.journal"), "test"),
        ray_address=Setting(None, "test"),
        mlflow_env={},
    )


def shallow_study(trials: int, **more: object) -> Study:
    """A study of that many trainings of no great length, in the folder `settings_for` names."""
    space = {"depth": LogInteger(2, 8), "init_scale": LogReal(0.5, 4)}
    fields = {"name": "study", "question": "q", "space": space, "recipe": {"steps": 10}, "budget": {"trials": trials}}
    return Study.model_validate({**fields, "tracking": {"child_runs": 0}, **more})


def test_killed_workers_are_replaced_and_values_equal_the_serial_engine_s(tmp_path_factory, empty_database):
    serial, parallel = (Place(tmp_path_factory.mktemp(name)).with_database(empty_database) for name in ("one", "many"))
    for place in (serial, parallel):
        place.write_study(trials=240, steps=60)
    assert serial.call_unshipped("run", "study", "--engine", "serial").returncode == 0
    process = parallel.start("run", "study")
    driver = psutil.Process(process.pid)
    killed = 0
    deadline = time.monotonic() + PATIENCE
    while killed < 2 and time.monotonic() < deadline and process.poll() is None:
        recorded = len(list(parallel.folder.glob("segment-*")))
        workers = ray_workers(driver) if recorded > killed else []
        if workers:
            workers[0].send_signal(signal.SIGKILL)
            killed += 1
        time.sleep(0.02)
    _, stderr = finished(process)
    assert re.search(r"^starting Ray \(\d+ slots?(: .*)?\) \.\.\.$", stderr, re.MULTILINE), "what is waited for is said"
    assert killed == 2, stderr
    assert process.returncode == 0, stderr
    assert_exactly_once(parallel, 240)
    assert values_of(parallel.records()) == values_of(serial.records())
    assert {record.device for record in parallel.records()} > {"cpu:cpu-0"}


def test_only_the_poisonous_trial_fails(tmp_path, empty_database, monkeypatch):
    ship_here(monkeypatch)
    place = Place(tmp_path).with_database(empty_database)
    study = shallow_study(40)
    work = PoisonousWork(frozenset({13}), os.getpid())
    ended = drive(study, settings_for(tmp_path), source=None, engine="ray", work=work, report=False)
    assert (ended.progress.done, ended.progress.failed) == (40, 1)
    assert {trial.number for trial in place.optuna_trials() if trial.state.name == "FAIL"} == {13}
    assert {trial.number for trial in place.optuna_trials() if trial.state.name == "COMPLETE"} == {*range(40)} - {13}
    (failed,) = [record for record in place.records() if record.failure is not None]
    assert failed.number == 13
    assert failed.failure is not None
    assert failed.failure.kind is FailureKind.WORKER_LOST
    deadline = time.monotonic() + PATIENCE
    while ray_workers(psutil.Process()):  # Ray kills them and does not wait
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.faults
def test_a_pack_beyond_memory_is_split_and_a_trial_beyond_it_fails_as_that(tmp_path, empty_database, monkeypatch):
    """Real training in real worker processes that may not grow: RLIMIT_AS."""
    monkeypatch.setattr(calibration, "calibration_path", lambda: tmp_path / "calibration.json")
    place = Place(tmp_path).with_database(empty_database)
    study = Study(
        name="study",
        question="q",
        space={"width": Choice((256, 2048)), "init_scale": LogReal(0.5, 4)},
        recipe={"depth": 8, "steps": 5},
        budget={"trials": 48},
        tracking={"child_runs": 0},
    )
    store_cost_models({"cpu": learned_cost(study.recipe, 1, 1)})  # a machine of unknown speed begins with small packs
    work = StarvingWork(TrainingWork(study.data, study.seed), 30 * 2**20)  # one network of width 256 needs 8 MB
    ended = drive(study, settings_for(tmp_path), source=None, engine="ray", work=work, report=False)
    too_large = {trial.number for trial in place.optuna_trials() if trial.params["width"] == 2048}
    assert 0 < len(too_large) < 48
    assert {trial.number for trial in place.optuna_trials() if trial.state.name == "FAIL"} == too_large
    failures = {record.number: record.failure for record in place.records() if record.failure is not None}
    assert set(failures) == too_large
    assert {failure.kind for failure in failures.values()} == {FailureKind.OUT_OF_MEMORY}, failures
    assert ended.progress.done == 48
    entries = [json.loads(line) for line in (place.folder / "attempts.jsonl").read_text().split("\n") if line]
    split = {number for entry in entries if len(entry["numbers"]) > 1 for number in entry["numbers"]}
    assert split - too_large, "a pack of trials that fit alone must have been split"


def test_ctrl_c_in_the_terminal_drains_ray_too(tmp_path):
    """A terminal sends SIGINT to the whole process group: workers must not die of it before their pack is done."""
    place = Place(tmp_path)
    place.write_study(trials=1000, steps=60)
    process = place.start_unshipped("run", "study")
    place.await_segment(process)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = finished(process)
    assert process.returncode == 130, stderr
    assert "failed" not in stderr
    recorded = len(place.records())
    assert recorded < 1000
    assert all(record.failure is None for record in place.records())
    states = [trial.state.name for trial in place.optuna_trials()]
    assert states.count("COMPLETE") == recorded


def test_a_ray_that_does_not_start_ends_in_one_sentence(tmp_path):
    place = Place(tmp_path)
    place.write_study(trials=20, steps=0)
    process = place.start_unshipped(
        "run", "study", RAY_TMPDIR="/proc/nowhere"
    )  # short enough for sockets, and no folder
    _, stderr = finished(process)
    assert process.returncode == 1
    assert "Ray does not start on this machine" in stderr
    assert "Traceback" not in stderr
    assert not place.records()
