"""kill -9 of the driver and of the shipper, again and again on one study: every trial exactly once, values unchanged."""

from __future__ import annotations

import random
import shutil
import signal
import time

import pytest

from gradstab.tracking.shipping_files import LOG_NAME
from tests.endtoend.command import Place, assert_exactly_once, values_of

pytestmark = pytest.mark.xdist_group("kills")  # the undisturbed run is made once

TRIALS = 60
SERIAL = ("--engine", "serial")
DRIVER_KILLED_AT = ("ask:3", "record:1", "tell:2", "tell:4")
SHIPPER_KILLED_AT = ("create_run:4", "log_batch:4")  # a run ships five trials and what waits: the sixth may never come
NUM_RANDOM = 4
# each kill costs a start of the program, so the usual suite makes one of each process
KILLS = {
    "two": (("record:1",), ("create_run:15",), 0),
    "ten": (DRIVER_KILLED_AT, SHIPPER_KILLED_AT, NUM_RANDOM),
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, empty_database) -> Place:
    place = Place(tmp_path_factory.mktemp("undisturbed")).with_database(empty_database)
    place.write_study(trials=TRIALS)
    done = place.call("run", "study", *SERIAL)
    assert done.returncode == 0, done.stderr
    return place


def test_undisturbed_run_is_complete(undisturbed):
    assert_exactly_once(undisturbed, TRIALS)


@pytest.mark.parametrize("count", ["two", pytest.param("ten", marks=pytest.mark.faults)])
def test_kills_lose_and_double_nothing(tmp_path, undisturbed, empty_database, count):
    driver_killed_at, shipper_killed_at, num_random = KILLS[count]
    place = Place(tmp_path).with_database(empty_database)
    place.write_study(trials=TRIALS)
    generator = random.Random(20261123)
    kills = len(driver_killed_at) + len(shipper_killed_at) + num_random
    # the budget grows, so that every kill meets a study with work left
    budgets = iter(range(TRIALS // (kills + 1), TRIALS, TRIALS // (kills + 1)))
    for planted in driver_killed_at:
        done = place.run("run", "study", *SERIAL, "--trials", str(next(budgets)), GRADSTAB_KILL_AT=planted)
        assert done.returncode == -signal.SIGKILL, (planted, done.stderr)
    for planted in shipper_killed_at:  # the driver starts it again, and again, and goes on
        done = place.call_with_shipper(
            "run", "study", *SERIAL, "--trials", str(next(budgets)), GRADSTAB_KILL_AT=planted
        )
        assert done.returncode == 0, (planted, done.stderr)
        assert f"killed at {planted.partition(':')[0]}" in (place.folder / LOG_NAME).read_text()
    for wait in [place.await_segment, place.await_journal, place.await_segment, place.await_journal][:num_random]:
        process = place.start("run", "study", *SERIAL, "--trials", str(next(budgets)))
        wait(process)
        time.sleep(generator.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it must not have ended before"
    last = place.call("run", "study", *SERIAL)
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
    assert place.call("run", "study", *SERIAL, "--trials", "24", **storage).returncode == 0
    killed = place.run("run", "study", *SERIAL, GRADSTAB_KILL_AT="tell:20", **storage)
    assert killed.returncode == -signal.SIGKILL
    shutil.rmtree(place.folder)
    done = place.call("run", "study", *SERIAL, **storage)
    assert done.returncode == 0, done.stderr
    assert "the results folder was missing" in done.stderr
    assert len(place.mlflow_runs("study")) == 1
    if kept == "journal":
        shutil.copy(tmp_path / "elsewhere" / "optuna.journal", place.folder)
    assert_exactly_once(place, TRIALS)
    assert values_of(place.records()) == values_of(undisturbed.records())
    told = {trial.number: trial.value for trial in place.optuna_trials()}
    assert told == {trial.number: trial.value for trial in undisturbed.optuna_trials()}
