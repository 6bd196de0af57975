"""Studies on clusters of raylets: nodes leave and join, a worker hangs, the head goes; every trial once all the same."""

from __future__ import annotations

import gc
import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from gradstab.execution.ray_executor import RayExecutor
from gradstab.loop.ports import PackResult
from gradstab.loop.trial import Trial
from gradstab.record.failure import FailureKind
from gradstab.record.segments import Record, segment_paths
from gradstab.study.recipe import Recipe
from tests.cluster.raylets import Raylets, raylets
from tests.endtoend.command import Place, values_of
from tests.fakes_work import SleepingWork
from tests.tracking.lossy_proxy import free_port

pytestmark = [
    pytest.mark.faults,
    pytest.mark.xdist_group("ray"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # Ray's own, when it looks for ports
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),  # of a cluster that was killed
]
AWAY = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
COMPARED = 120  # trials whose values are held against an undisturbed run's


@pytest.fixture
def cluster() -> Iterator[Raylets]:
    with raylets(1, 2) as made:
        yield made
    gc.collect()  # what Ray left open is collected here, where it is no error


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    place = Place(tmp_path_factory.mktemp("undisturbed"))
    place.write_study(trials=COMPARED, steps=100)
    done = place.run("run", "study", "--engine", "serial", **AWAY)
    assert done.returncode == 0, done.stderr
    return place.records()


def assert_each_once(place: Place, total: int, undisturbed: list[Record]) -> None:
    records = place.records()
    assert sorted(record.number for record in records) == list(range(total))
    told = [trial.number for trial in place.optuna_trials() if trial.state.name != "RUNNING"]  # asked beyond: waits
    assert told == list(range(total))
    assert {trial.state.name for trial in place.optuna_trials()[:total]} == {"COMPLETE"}
    assert values_of([record for record in records if record.number < COMPARED]) == values_of(undisturbed)


def await_that(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 90
    while not what():
        assert time.monotonic() < deadline, "nothing came of the run"
        time.sleep(0.02)


def drive(executor: RayExecutor, until: Callable[[list[PackResult]], bool], seconds: float) -> list[PackResult]:
    """Keep every slot busy until something holds of what has ended; all of that."""
    ended: list[PackResult] = []
    deadline = time.monotonic() + seconds
    while not until(ended):
        assert time.monotonic() < deadline, f"it did not happen; failures: {Counter(r.failure for r in ended)}"
        for number in range(executor.idle()):
            executor.submit([Trial(number, {}, Recipe(depth=2, steps=2), number)], 10.0)
        ended += executor.wait(0.2)
    return ended


def test_slots_leave_and_join_with_their_nodes(cluster: Raylets) -> None:
    executor = RayExecutor(SleepingWork(0.5), address=cluster.address)
    try:
        drive(executor, lambda _: len(executor.slots) == 4, 60)
        first = {slot.name for slot in executor.slots}
        cluster.kill()
        lost = drive(executor, lambda _: len(executor.slots) == 2, 60)
        left = {slot.name for slot in executor.slots}
        assert left < first
        failed = {result.slot.name: result.failure.kind for result in lost if result.failure}
        assert set(failed) <= first - left
        # a pack may learn of its worker's end before Ray knows that the node is gone
        assert set(failed.values()) <= {FailureKind.NODE_LOST, FailureKind.WORKER_LOST}, failed
        assert any(result.failure is None and result.slot.name in left for result in lost)
        cluster.add()
        drive(executor, lambda _: len(executor.slots) == 4, 60)
        joined = {slot.name for slot in executor.slots} - left
        assert not joined & first, "a slot that joins has a name of its own"
        used = drive(executor, lambda ended: joined <= {result.slot.name for result in ended}, 30)
        assert all(result.failure is None for result in used if result.slot.name in joined)
    finally:
        executor.close()


def test_a_whole_study_runs_through_ray_client(tmp_path: Path, undisturbed: list[Record]) -> None:
    place = Place(tmp_path)
    place.write_study(trials=COMPARED, steps=100)
    port, dashboard = free_port(), free_port()
    with raylets(0, 2, ray_client_server_port=port, include_dashboard=True, dashboard_port=dashboard):
        done = place.run("run", "study", "--address", f"ray://127.0.0.1:{port}", **AWAY)
    gc.collect()
    assert done.returncode == 0, done.stderr
    assert f"Ray dashboard: http://127.0.0.1:{dashboard}\n" in done.stderr
    assert_each_once(place, COMPARED, undisturbed)


def test_a_worker_that_hangs_is_killed_and_its_pack_halved(
    tmp_path: Path, cluster: Raylets, undisturbed: list[Record]
) -> None:
    place, trials = Place(tmp_path), 400
    place.write_study(trials=trials, steps=100, more="resources: {pack_seconds: 10}\n")
    process = place.start("run", "study", "--address", cluster.address, **AWAY)
    await_that(lambda: segment_paths(place.folder) and cluster.actors())
    hanging = cluster.actors()[0]
    hanging.send_signal(signal.SIGSTOP)
    _, stderr = process.communicate(timeout=150)
    assert process.returncode == 0, stderr
    entries = [json.loads(line) for line in (place.folder / "attempts.jsonl").read_text().split("\n") if line]
    hung = [entry["numbers"] for entry in entries if entry["reason"].startswith("hang: no result within ")]
    assert hung
    again = [record for record in place.records() if record.number in hung[0]]
    sizes = Counter((record.device, record.started_ms, record.finished_ms) for record in again)
    assert max(sizes.values()) <= max(1, len(hung[0]) // 2)
    assert min(record.attempts for record in again) >= 2
    await_that(lambda: not hanging.is_running())  # Ray kills what does not stop by itself some seconds later
    assert_each_once(place, trials, undisturbed)


def head_of() -> psutil.Process:
    (found,) = [child for child in psutil.Process().children(recursive=True) if child.name() == "gcs_server"]
    return found


@pytest.mark.parametrize(
    ("befalls", "said"), [(psutil.Process.kill, "does not answer: "), (psutil.Process.suspend, "no answer within 20 s")]
)
def test_a_head_that_goes_or_hangs_ends_the_run_in_one_sentence_and_the_next_cluster_finishes_it(
    tmp_path: Path,
    cluster: Raylets,
    undisturbed: list[Record],
    befalls: Callable[[psutil.Process], None],
    said: str,
) -> None:
    place = Place(tmp_path)
    place.write_study(trials=1_000_000, steps=100)
    process = place.start("run", "study", "--address", cluster.address, **AWAY)
    await_that(lambda: segment_paths(place.folder))
    head = head_of()
    befalls(head)
    try:
        _, stderr = process.communicate(timeout=150)
    finally:
        head.kill()  # resumed, it would take its nodes for dead
    assert process.returncode == 4, stderr
    assert said in stderr
    assert "Traceback" not in stderr
    assert stderr.count("Results so far are safe: start the cluster and run the study again") == 1, stderr
    total = max(record.number for record in place.records()) + 200
    cluster.close()
    with raylets(0, 2) as second:
        done = place.run("run", "study", "--address", second.address, "--trials", str(total), **AWAY)
    assert done.returncode == 0, done.stderr
    assert_each_once(place, total, undisturbed)
