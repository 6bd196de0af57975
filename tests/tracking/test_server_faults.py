"""A real MLflow server behind a proxy that loses replies, fails, is slow or away: every run and every point once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from gradstab.record.segments import Record
from tests.endtoend.command import Place
from tests.fakes import make_mixed_records
from tests.tracking.conftest import MakeFolder
from tests.tracking.lossy_proxy import LossyProxy, free_port
from tests.tracking.mlflow_server import await_server, start_server
from tests.tracking.notebook import Held, parent_of, runs_of, ship, table_of, trials_of

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("mlflow server")]
TRIALS = 8


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    number = free_port()
    process: subprocess.Popen[bytes] = start_server(number, tmp_path_factory.mktemp("server"))
    try:
        await_server(number)
        yield number
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def records() -> Sequence[Record]:
    return make_mixed_records(TRIALS)


def shipped(make_folder: MakeFolder, port: int, records: Sequence[Record], name: str) -> Path:
    """A study of the records, shipped through a port."""
    segments = [records[: TRIALS // 2], records[TRIALS // 2 :]]
    uri = f"http://127.0.0.1:{port}"
    folder = make_folder(segments, name=name, study=name, study_id=name, uri=uri, artifact_root=None, budget=TRIALS)
    assert ship(folder, patience=60.0) == 0
    return folder


def points(trials: dict[int, Held]) -> dict[int, object]:
    """All that a person can see of the runs, but for what names the study."""
    return {number: (held.name, held.status, held.times, held.params, held.rows) for number, held in trials.items()}


def assert_as_undisturbed(folder: Path, make_folder: MakeFolder, port: int, records: Sequence[Record]) -> None:
    """`trials_of` fails if a trial has two runs, and a row that is there twice is one more than the other has."""
    twin = shipped(make_folder, port, records, f"{folder.name}-undisturbed")
    assert points(trials_of(folder)) == points(trials_of(twin))
    assert parent_of(folder).info.status == "FINISHED"  # fails if there are two
    assert len(runs_of(folder, "trial")) == TRIALS
    assert table_of(folder, folder) == table_of(twin, twin)


@pytest.mark.parametrize("which", [1, 4])
@pytest.mark.parametrize("call", ["runs/create", "runs/log-batch", "runs/update", "mlflow-artifacts/artifacts/"])
def test_a_reply_lost_after_the_server_has_acted_doubles_nothing(
    make_folder: MakeFolder, port: int, records: Sequence[Record], call: str, which: int
) -> None:
    with LossyProxy(port, lose=call, which=which) as proxy:
        folder = shipped(make_folder, proxy.port, records, f"lost-{call.strip('/').replace('/', '-')}-{which}")
        assert proxy.lost == 1
        assert_as_undisturbed(folder, make_folder, port, records)


def test_one_request_in_eight_fails(make_folder: MakeFolder, port: int, records: Sequence[Record]) -> None:
    with LossyProxy(port) as proxy:
        proxy.failing = 0.125
        folder = shipped(make_folder, proxy.port, records, "failing")
        assert proxy.failed > 3
        proxy.failing = 0.0
        assert_as_undisturbed(folder, make_folder, port, records)


@pytest.mark.timeout(600)  # two minutes of trouble, then the end of the run and what it left to ship
def test_training_goes_on_beside_a_server_that_is_slow_failing_and_away_for_a_minute(tmp_path: Path, port: int) -> None:
    """Prints how many trials each phase trains; that there are any shows that training waits for no answer."""
    place = Place(tmp_path, "troubled")
    more = "tracking: {child_runs: 40, child_runs_after: none, heat_maps: 0}\n"
    place.write_study(trials=1_000_000, steps=1000, more=more)
    with LossyProxy(port) as proxy:
        environment = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{proxy.port}"}
        process = place.start("run", "troubled", "--engine", "serial", **environment)
        deadline = time.monotonic() + 60
        while not place.folder.exists() or not place.records():
            assert time.monotonic() < deadline
            time.sleep(0.2)
        trained = {}
        for name, seconds, proxy.delay_s, proxy.failing, proxy.refuses in [
            ("healthy", 15, 0.0, 0.0, False),
            ("slow", 20, 2.0, 0.0, False),
            ("failing", 20, 0.0, 0.5, False),
            ("away", 60, 0.0, 0.0, True),
            ("healthy again", 15, 0.0, 0.0, False),
        ]:
            before = len(place.records())
            time.sleep(seconds)
            trained[name] = len(place.records()) - before
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=120)
        print("trials in each phase:", trained)
        assert min(trained.values()) > 0, trained
        assert process.returncode == 130, stderr
        assert "Traceback" not in stderr
        synced = place.run("sync", "troubled", **environment)
        assert synced.returncode == 0, synced.stderr
        recorded = sorted(record.number for record in place.records())  # the stop may leave out numbers in flight
        assert len(set(recorded)) == len(recorded)
        children = runs_of(place.folder, "trial")  # not every row of each: that is thousands of requests
        assert sorted(int(run.data.tags["trial"]) for run in children) == list(range(40))
        assert {run.info.status for run in children} == {"FINISHED"}
        assert sorted(table_of(place.folder, place.folder)["trial"]) == recorded
