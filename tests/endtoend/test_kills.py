"""kill -9 of the driver and of the shipper, again and again on one study: every trial exactly once, values unchanged."""

from __future__ import annotations

import random
import shutil
import signal
import time

import pytest

from tests.endtoend.command import Place, assert_exactly_once, values_of

pytestmark = pytest.mark.xdist_group("kills")  # the undisturbed run is made once

TRIALS = 60
PLANTED = ("ask:3", "record:1", "tell:2", "tell:4", "create_run:4", "log_batch:6")
NUM_RANDOM = 4


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, empty_database) -> Place:
    place = Place(tmp_path_factory.mktemp("undisturbed")).with_database(empty_database)
    place.write_study(trials=TRIALS)
    done = place.run("run", "study", "--engine", "serial")
    assert done.returncode == 0, done.stderr
    return place


def test_undisturbed_run_is_complete(undisturbed):
    assert_exactly_once(undisturbed, TRIALS)


def test_ten_kills_lose_and_double_nothing(tmp_path, undisturbed, empty_database):
    place = Place(tmp_path).with_database(empty_database)
    place.write_study(trials=TRIALS)
    generator = random.Random(20261123)
    ended_by: list[int] = []
    for planted in PLANTED:
        # the budget grows, so that every kill meets a study with work left
        total = TRIALS * (len(ended_by) + 1) // (len(PLANTED) + NUM_RANDOM + 1)
        done = place.run("run", "study", "--engine", "serial", "--trials", str(total), GRADSTAB_KILL_AT=planted)
        ended_by.append(done.returncode)
    for _ in range(NUM_RANDOM):
        total = TRIALS * (len(ended_by) + 1) // (len(PLANTED) + NUM_RANDOM + 1)
        process = place.start("run", "study", "--engine", "serial", "--trials", str(total))
        time.sleep(generator.uniform(0.5, 4.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        ended_by.append(process.returncode)
    # ask, record and tell are passed by the driver; create_run and log_batch by the shipper, which is started again
    assert ended_by[:4] == [-signal.SIGKILL] * 4
    last = place.run("run", "study", "--engine", "serial")
    assert last.returncode == 0, last.stderr
    assert_exactly_once(place, TRIALS)
    assert values_of(place.records()) == values_of(undisturbed.records())
    told = {trial.number: trial.value for trial in place.optuna_trials()}
    assert told == {trial.number: trial.value for trial in undisturbed.optuna_trials()}


@pytest.mark.parametrize("kept", ["nothing", pytest.param("journal", marks=pytest.mark.faults)])
def test_a_results_folder_that_is_gone_comes_back_from_mlflow(tmp_path, undisturbed, empty_database, kept):
    """Killed, then the machine is lost: the folder is rebuilt, what was not shipped is trained again, same values."""
    place = Place(tmp_path).with_database(empty_database)
    place.write_study(trials=TRIALS)
    storage = {"OPTUNA_STORAGE": f"journal:{tmp_path}/elsewhere/optuna.journal"} if kept == "journal" else {}
    assert place.run("run", "study", "--engine", "serial", "--trials", "24", **storage).returncode == 0
    killed = place.run("run", "study", "--engine", "serial", GRADSTAB_KILL_AT="tell:20", **storage)
    assert killed.returncode == -signal.SIGKILL
    shutil.rmtree(place.folder)
    done = place.run("run", "study", "--engine", "serial", **storage)
    assert done.returncode == 0, done.stderr
    assert "the results folder was gone" in done.stderr
    assert len(place.mlflow_runs("study")) == 1
    if kept == "journal":
        shutil.copy(tmp_path / "elsewhere" / "optuna.journal", place.folder)
    assert_exactly_once(place, TRIALS)
    assert values_of(place.records()) == values_of(undisturbed.records())
    told = {trial.number: trial.value for trial in place.optuna_trials()}
    assert told == {trial.number: trial.value for trial in undisturbed.optuna_trials()}
