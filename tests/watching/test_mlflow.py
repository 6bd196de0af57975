"""Where readings go in MLflow: the active run, one of their own, or nowhere; and an MLflow that is not there."""

from __future__ import annotations

import io
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from torch import nn
from torch.nn import functional
from torch.optim import Adam

import gradstab
from gradstab.errors import UsageError
from gradstab.tracking import watched_run
from tests.tracking.lossy_proxy import free_port
from tests.watching import loops

CE = functional.cross_entropy


@pytest.fixture(autouse=True)
def store(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowClient]:
    """MLflow as the user has it set up: a database of its own, and no active run."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.setenv(name, "")  # so that what MLflow sets is undone
        monkeypatch.delenv(name)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri)
    mlflow.set_experiment("training")
    yield client
    while mlflow.active_run() is not None:
        mlflow.end_run()
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # any other value would stay in the environment


def train(model: nn.Module, steps: int = 6) -> None:
    loops.train(model, Adam(model.parameters(), 0.01), steps)


def runs_of(client: MlflowClient) -> list[Run]:
    experiments = [one.experiment_id for one in client.search_experiments()]
    return list(client.search_runs(experiments))


def test_an_active_run_takes_the_readings(store):
    model = loops.chain()
    with mlflow.start_run() as active:
        run_id = active.info.run_id
        mlflow.set_tag("kind", "mine")
        mlflow.set_tag("mlflow.note.content", "my note")
        with gradstab.watch(model, *loops.SIDE, CE, every=2) as eyes:
            train(model)
            assert mlflow.active_run() is active
            mlflow.log_metric("loss", 1.0)
        assert mlflow.active_run() is active
        assert store.get_run(run_id).info.status == "RUNNING", "the run is the user's to end"
    assert eyes.run_id == run_id
    (held,) = runs_of(store)
    assert held.data.tags["kind"] == "mine"
    assert held.data.tags["mlflow.note.content"] == "my note"
    assert held.data.tags["verdict"] == eyes.judgement.verdict
    assert "mlflow.runColor" not in held.data.tags
    assert held.data.metrics["loss"] == 1.0


def test_a_run_of_its_own_holds_what_a_trials_run_holds(store):
    model = loops.chain(6)
    with gradstab.watch(model, *loops.SIDE, CE, every=2, run="my-run") as eyes:
        train(model)
    (held,) = runs_of(store)
    trajectory = eyes.trajectory
    assert held.info.run_id == eyes.run_id
    assert held.info.run_name == "my-run"
    assert held.info.status == "FINISHED"
    assert held.info.experiment_id == store.get_experiment_by_name("training").experiment_id
    assert len(held.data.metrics) <= 40
    series = store.get_metric_history(eyes.run_id, "series/gradient_ratio")
    assert [point.step for point in series] == [0, 2, 4, 6]
    ratios = trajectory["log10_delta_norm"][:, 0] - trajectory["log10_delta_norm"][:, -1]
    np.testing.assert_allclose([point.value for point in series], ratios, rtol=1e-4)
    profile = store.get_metric_history(eyes.run_id, "profile/log10_grad_ratio_end")
    assert [point.step for point in profile] == [0, 20, 40, 60, 80, 100]
    first = store.get_metric_history(eyes.run_id, "profile/log10_grad_ratio_init")[0]
    assert (first.step, first.value) == (0, pytest.approx(ratios[0], rel=1e-4))
    images = {artifact.path for artifact in store.list_artifacts(eyes.run_id, "images")}
    assert {name.split("+")[0] for name in images} >= {"images/heat_map~grad_norm", "images/heat_map~activation_scale"}
    arrays = np.load(mlflow.artifacts.download_artifacts(f"runs:/{eyes.run_id}/arrays/watch.npz"))
    np.testing.assert_array_equal(arrays["log10_delta_norm"], trajectory["log10_delta_norm"])
    assert held.data.tags["heat_maps"] == "true"
    assert held.data.tags["mlflow.note.content"].startswith(f"**{eyes.judgement.verdict}**")
    views = store.get_experiment(held.info.experiment_id).tags
    assert {name for name in views if "sharedViewState" in name} == {
        f"mlflow.sharedViewState.gradstab-watch{which}" for which in ("", "-profiles", "-maps")
    }


def test_a_named_run_stands_under_the_active_one(store):
    model = loops.chain()
    with mlflow.start_run() as active, gradstab.watch(model, *loops.SIDE, CE, every=2, run="eyes") as eyes:
        train(model)
    own = store.get_run(eyes.run_id)
    assert own.data.tags["mlflow.parentRunId"] == active.info.run_id
    assert not store.get_run(active.info.run_id).data.metrics


def test_without_a_run_nothing_goes_to_mlflow(store):
    model = loops.chain()
    with gradstab.watch(model, *loops.SIDE, CE, every=2) as eyes:
        train(model)
    assert eyes.run_id is None
    assert not runs_of(store)
    assert len(eyes.trajectory.probe_step_P) == 4


def test_two_watches_do_not_write_into_one_run(store):
    model = loops.chain()
    with mlflow.start_run(), gradstab.watch(model, *loops.SIDE, CE, every=2):
        with (
            pytest.raises(UsageError, match="two watches must not write into one MLflow run"),
            gradstab.watch(model, *loops.SIDE, CE, every=2),
        ):
            pass
        with gradstab.watch(model, *loops.SIDE, CE, every=2, run="second") as second:
            train(model)
    assert len(runs_of(store)) == 2
    assert len(store.get_metric_history(second.run_id, "series/loss")) == 4


@pytest.mark.parametrize(("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_of_its_own_ends_as_the_loop_did(store, error, status):
    model = loops.chain()
    eyes = gradstab.watch(model, *loops.SIDE, CE, every=2, run="ends")

    def loop() -> None:
        train(model, 3)
        raise error

    with pytest.raises(error), eyes:
        loop()
    held = store.get_run(eyes.run_id)
    assert held.info.status == status
    assert "series/loss" in held.data.metrics


def test_a_server_that_does_not_answer_is_told_at_the_start_and_training_goes_on():
    mlflow.set_tracking_uri(f"http://127.0.0.1:{free_port()}")
    model = loops.chain()
    with (
        pytest.warns(UserWarning, match=r"127.0.0.1.*readings are kept in eyes.trajectory") as told,
        gradstab.watch(model, *loops.SIDE, CE, every=2, run="away") as eyes,
    ):
        train(model)
    assert len(told) == 1
    assert list(eyes.trajectory.probe_step_P) == [0, 2, 4, 6]
    assert eyes.run_id is None


def test_a_uri_that_is_none_is_told_at_the_start():
    mlflow.set_tracking_uri("nonsense://there")
    model = loops.chain()
    with (
        pytest.warns(UserWarning, match="the MLflow tracking URI must be"),
        gradstab.watch(model, *loops.SIDE, CE, every=2, run="away") as eyes,
    ):
        train(model)
    assert len(eyes.trajectory.probe_step_P) == 4


def test_a_run_that_the_user_deletes_meanwhile_is_told_at_the_end(store, monkeypatch):
    monkeypatch.setattr(watched_run, "_SEND_EVERY_S", 0.05)
    model = loops.chain()
    eyes = gradstab.watch(model, *loops.SIDE, CE, every=2, run="deleted")

    def loop() -> None:
        store.delete_run(eyes.run_id)
        train(model)

    with pytest.warns(UserWarning, match="must be in the 'active' state"), eyes:
        loop()
    assert len(eyes.trajectory.probe_step_P) == 4
    assert not [one for one in threading.enumerate() if one.name == "gradstab-watch"]


def test_readings_are_in_mlflow_while_the_loop_goes_on(store, monkeypatch):
    monkeypatch.setattr(watched_run, "_SEND_EVERY_S", 0.05)
    model = loops.chain()
    optimizer = Adam(model.parameters(), 0.01)
    with gradstab.watch(model, *loops.SIDE, CE, every=2, run="live") as eyes:
        loops.train(model, optimizer, 3)
        deadline = time.monotonic() + 60
        while len(store.get_metric_history(eyes.run_id, "series/loss")) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert store.get_run(eyes.run_id).data.metrics["gradient_ratio"] == pytest.approx(
            eyes.judgement.gradient_ratio, rel=1e-4
        )


def test_a_training_that_diverges_sends_finite_numbers_only(store):
    model = loops.chain()
    with gradstab.watch(model, *loops.SIDE, CE, every=2, run="diverges") as eyes:
        train(model, 3)
        nn.init.constant_(model[2].weight, float("nan"))
        train(model, 4)
    held = store.get_run(eyes.run_id)
    assert held.data.tags["verdict"] == "diverged"
    assert all(np.isfinite(value) for value in held.data.metrics.values())
    assert held.data.metrics["diverged_at_step"] == eyes.trajectory.nonfinite_step
    heat_maps = store.list_artifacts(eyes.run_id, "images")
    picture = io.BytesIO(
        Path(mlflow.artifacts.download_artifacts(f"runs:/{eyes.run_id}/{heat_maps[0].path}")).read_bytes()
    )
    assert picture.getbuffer().nbytes > 1000
