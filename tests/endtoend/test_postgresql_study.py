"""A study with Optuna and MLflow in a real PostgreSQL: restarted under way, taken over, every trial once."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import psycopg
import pytest
from mlflow import MlflowClient

from gradstab.record.segments import segment_paths
from tests.endtoend.command import Place, values_of
from tests.search.storages import Server, plain_storage, postgresql_server

pytestmark = [pytest.mark.xdist_group("postgresql"), pytest.mark.faults]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgresql_server() as running:
        yield running


def database(server: Server, name: str) -> str:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return server.url.replace("/postgres?", f"/{name}?")


def await_trials(place: Place, count: int, process: subprocess.Popen[str]) -> None:
    """Until so many are on record: PostgreSQL gets MLflow's tables first, which takes its time on a busy machine."""
    deadline = time.monotonic() + 150
    while len(place.records()) < count:
        if time.monotonic() > deadline or process.poll() is not None:
            process.kill()
            raise AssertionError(f"{count} trials must be recorded, but: {process.communicate()[1]}")
        time.sleep(0.1)


def await_experiment(url: str, process: subprocess.Popen[str]) -> None:
    """Until MLflow has the study: before that its store waits longer and longer for a server that is away."""
    deadline = time.monotonic() + 150
    while not has_experiment(url):
        if time.monotonic() > deadline or process.poll() is not None:
            process.kill()
            raise AssertionError(f"MLflow must have the study, but: {process.communicate()[1]}")
        time.sleep(0.2)


def has_experiment(url: str) -> bool:
    with psycopg.connect(url) as connection:
        try:
            return connection.execute("SELECT FROM experiments WHERE name = 'study'").fetchone() is not None
        except psycopg.errors.UndefinedTable:
            return False


def told(url: str, name: str) -> dict[int, float | None]:
    with plain_storage(url) as storage:
        trials = optuna.load_study(study_name=name, storage=storage).trials
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    return {trial.number: trial.value for trial in trials}


def test_optuna_and_mlflow_in_postgresql_down_for_a_minute_under_way(tmp_path: Path, server: Server) -> None:
    storage, tracking = database(server, "optuna"), database(server, "mlflow")
    place = Place(tmp_path)
    place.write_study(trials=120, steps=20_000, more="resources: {pack_seconds: 2}\n")
    process = place.start(
        "run", "study", "--engine", "serial", OPTUNA_STORAGE=storage, MLFLOW_TRACKING_URI=tracking, NO_COLOR="1"
    )
    await_trials(place, 20, process)
    await_experiment(tracking, process)
    assert len(place.records()) < 120, "under way"
    server.stop()
    time.sleep(60.0)
    server.start()
    _, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr
    assert "storage is away and will be tried" in stderr
    assert "storage is back after" in stderr
    assert sorted(record.number for record in place.records()) == list(range(120))
    assert set(told(storage, "study")) == set(range(120))
    client = MlflowClient(tracking_uri=tracking, registry_uri=tracking)
    experiment = client.get_experiment_by_name("study")
    assert experiment is not None
    assert experiment.artifact_location.startswith((tmp_path / "results" / "mlflow" / "artifacts").as_uri())
    children = client.search_runs([experiment.experiment_id], "tags.kind = 'trial'", max_results=5000)
    assert sorted(int(run.data.tags["trial"]) for run in children) == list(range(120))


def cut_connections(server: Server, names: tuple[str, ...]) -> int:
    """End every connection to these databases, whatever it is in the middle of; how many there were."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        return len(
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY(%s)", [list(names)]
            ).fetchall()
        )


def test_connections_cut_again_and_again_lose_and_double_nothing(tmp_path: Path, server: Server) -> None:
    storage, tracking = database(server, "cut-optuna"), database(server, "cut-mlflow")
    place, calm = Place(tmp_path / "cut"), Place(tmp_path / "calm")
    for folder in (place, calm):
        folder.root.mkdir()
        folder.write_study(trials=60)
    undisturbed = calm.run("run", "study", "--engine", "serial", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert undisturbed.returncode == 0, undisturbed.stderr
    environment = {"OPTUNA_STORAGE": storage, "MLFLOW_TRACKING_URI": tracking}
    process = place.start("run", "study", "--engine", "serial", **environment)
    await_trials(place, 1, process)
    cut = 0
    chance = random.Random(20261123)
    while process.poll() is None and cut < 40:
        cut += cut_connections(server, ("cut-optuna", "cut-mlflow"))
        time.sleep(chance.uniform(0.0, 0.5))
    _, stderr = process.communicate(timeout=150)
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr
    assert cut > 5
    synced = place.run("sync", "study", **environment)
    assert synced.returncode == 0, synced.stderr
    assert values_of(place.records()) == values_of(calm.records())
    assert sorted(record.number for record in place.records()) == list(range(60))
    assert told(storage, "study") == {trial.number: trial.value for trial in calm.optuna_trials()}
    client = MlflowClient(tracking_uri=tracking, registry_uri=tracking)
    experiment = client.get_experiment_by_name("study")
    assert experiment is not None
    children = client.search_runs([experiment.experiment_id], "tags.kind = 'trial'", max_results=5000)
    assert sorted(int(run.data.tags["trial"]) for run in children) == list(range(60))
    assert {run.info.status for run in children} == {"FINISHED"}


def test_force_takes_a_study_over_from_a_living_driver(tmp_path: Path, server: Server) -> None:
    storage = database(server, "taken")
    first, second = Place(tmp_path / "first"), Place(tmp_path / "second")
    environment = {"OPTUNA_STORAGE": storage, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    for place in (first, second):
        place.root.mkdir()
        place.write_study(trials=1200)
    held = first.start("run", "study", "--engine", "serial", **environment)
    await_trials(first, 5, held)
    try:
        refused = second.run("run", "study", "--engine", "serial", **environment)
        taken = second.run("run", "study", "--engine", "serial", "--force", "--trials", "30", **environment)
    except BaseException:
        held.kill()
        raise
    finally:
        _, stderr = held.communicate(timeout=60)
    assert refused.returncode == 1, refused.stderr
    assert f"process {held.pid} on " in refused.stderr
    assert "--force" in refused.stderr
    assert taken.returncode == 0, taken.stderr
    assert held.returncode == 4, stderr
    assert "has taken it over: this driver stops" in stderr
    assert "Traceback" not in stderr
    # what the first one told and recorded elsewhere is trained again here, under the same numbers
    with plain_storage(storage) as plain:
        trials = optuna.load_study(study_name="study", storage=plain).trials
    done = {trial.number for trial in trials if trial.state.name == "COMPLETE"}
    assert set(range(30)) <= done
    assert {record.number for record in second.records()} >= set(range(30))


def test_doctor_and_remove_on_postgresql_touch_no_other_study(tmp_path: Path, server: Server) -> None:
    storage = database(server, "removed")
    kept, gone = Place(tmp_path, "kept"), Place(tmp_path, "gone")
    environment = {"OPTUNA_STORAGE": storage}
    for place in (kept, gone):
        place.write_study(trials=8)
        done = place.run("run", place.name, "--engine", "serial", **environment)
        assert done.returncode == 0, done.stderr
    with plain_storage(storage) as plain:  # what a driver leaves that dies between asking and telling
        optuna.load_study(study_name="gone", storage=plain).ask()
    assert gone.run("doctor", "gone", **environment).returncode == 0  # a trial in flight is no damage
    first = segment_paths(gone.folder)[0]
    first.write_bytes(first.read_bytes()[:-50])
    damaged = gone.run("doctor", "gone", **environment)
    assert damaged.returncode == 1
    assert "is damaged" in damaged.stdout
    gone.run("doctor", "gone", "--repair", **environment)
    again = gone.run("run", "gone", "--engine", "serial", **environment)
    assert again.returncode == 0, again.stderr
    assert gone.run("doctor", "gone", **environment).returncode == 0
    removed = gone.run("remove", "gone", "--yes", **environment)
    assert removed.returncode == 0, removed.stderr
    assert not gone.folder.exists()
    with plain_storage(storage) as plain:
        assert [summary.study_name for summary in optuna.get_all_study_summaries(plain)] == ["kept"]
    with psycopg.connect(storage) as connection:
        assert connection.execute("SELECT study FROM gradstab_drivers").fetchall() == [("kept",)]
    assert set(told(storage, "kept")) == set(range(8))
    assert len(kept.mlflow_runs("trial")) == 8
    assert [experiment.name for experiment in kept.mlflow().search_experiments()] == ["kept", "Default"]
