"""The shipper as a process of its own: killed at planted points, without its driver, and against a real server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradstab.record.segments import segment_paths, write_segment
from gradstab.record.shipping_order import load_order
from gradstab.system.failpoints import VARIABLE
from gradstab.tracking.segment_shipper import EXIT_WAITING
from gradstab.tracking.shipper_process import ShipperProcess
from gradstab.tracking.shipping_files import ShipperState, load_cursor, load_state, save_state
from tests.fakes import make_mixed_records
from tests.tracking.conftest import MakeFolder
from tests.tracking.lossy_proxy import LossyProxy, free_port
from tests.tracking.mlflow_server import start_server
from tests.tracking.notebook import Held, parent_of, ship, table_of, trials_of


def run_shipper(folder: Path, said: str = "finish 20\n", kill_at: str | None = None, *, direct: bool = True) -> int:
    """The exit code of a shipper whose driver says one thing and hangs up; `direct` lets it write rows by itself."""
    environment = os.environ | ({} if kill_at is None else {VARIABLE: kill_at})
    way = "" if direct else "direct_rows.KNOWN_REVISIONS = frozenset(); "
    code = f"from gradstab.tracking import direct_rows, shipper; {way}raise SystemExit(shipper.main())"
    command = [sys.executable, "-c", code, "--folder", str(folder)]
    return subprocess.run(command, input=said.encode(), env=environment, check=False, timeout=150).returncode


def without_ids(trials: dict[int, Held]) -> dict[int, tuple[object, ...]]:
    parent = "mlflow.parentRunId"
    return {
        number: (held.name, held.status, held.times, held.params, held.tags | {parent: ""}, held.rows)
        for number, held in trials.items()
    }


@pytest.mark.parametrize(
    ("direct", "points"),
    [
        pytest.param(True, ("create_run:2",), id="rows of a known schema"),
        pytest.param(True, ("log_batch:2",), id="rows, a run half filled", marks=pytest.mark.faults),
        pytest.param(
            False,
            ("create_run:2", "log_batch:2", "set_terminated:2"),
            id="calls of MLflow",
            marks=pytest.mark.faults,
        ),
    ],
)
def test_kills_at_every_call_leave_each_trial_once(
    make_folder: MakeFolder, tmp_path: Path, direct: bool, points: tuple[str, ...]
) -> None:
    records = make_mixed_records(12)
    segments = [records[:4], records[4:8], records[8:]]
    undisturbed = make_folder(segments, name="undisturbed", study_id="00000000-undisturbed", study="undisturbed")
    assert ship(undisturbed) == 0
    folder = make_folder(segments, name="killed")
    for point in (*points, "log_artifact:3"):
        assert run_shipper(folder, kill_at=point, direct=direct) == -signal.SIGKILL, point
    assert run_shipper(folder, direct=direct) == 0

    def comparable(trials: dict[int, Held]) -> dict[int, tuple[object, ...]]:
        for held in trials.values():  # a note names the study in the commands that it gives, and ids in its links
            note = held.tags["mlflow.note.content"].replace(held.tags["study"], "").replace(held.run_id, "")
            note = re.sub(r"#/experiments/\d+", "", note)
            held.tags.update({"study": "", "study_id": "", "mlflow.note.content": note})
        return without_ids(trials)

    assert comparable(trials_of(folder)) == comparable(trials_of(undisturbed))
    assert parent_of(folder).info.status == "FINISHED"
    assert table_of(folder, tmp_path)["trial"] == list(range(12))


def test_a_shipper_that_dies_is_started_again_and_one_whose_driver_dies_ends(make_folder: MakeFolder) -> None:
    folder = make_folder([make_mixed_records(4)])
    process = ShipperProcess(folder)
    child = process._process
    assert child is not None
    try:
        deadline = time.monotonic() + 150
        while (process.waiting() or load_state(folder).shipped < 4) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert load_state(folder).shipped == 4
        child.send_signal(signal.SIGKILL)
        child.wait()
        write_segment(folder, 1, make_mixed_records(2, first=4))
        assert process.waiting() == 2
        while process.waiting() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert sorted(trials_of(folder)) == list(range(6))
        child = process._process
        assert child is not None
        assert child.stdin is not None
        child.stdin.close()  # what a killed driver leaves
        assert child.wait(timeout=150) == 0
        assert parent_of(folder).info.status == "KILLED"
    finally:
        if child is not None:
            child.kill()
            child.wait()


def test_a_shipper_may_start_later_and_ships_everything_when_it_is_asked_to_finish_before(
    make_folder: MakeFolder,
) -> None:
    folder = make_folder([make_mixed_records(2)])
    process = ShipperProcess(folder, delay=3600.0)
    assert process.waiting() == 2
    assert process._process is None
    assert process.close(20.0) == 0
    assert sorted(trials_of(folder)) == [0, 1]


def test_the_driver_does_not_pay_for_importing_mlflow() -> None:
    code = (
        "import sys, gradstab.tracking.shipper_process, gradstab.tracking.links, gradstab.record.shipping_order;"
        "sys.exit(sum(name in sys.modules for name in ('mlflow', 'sqlalchemy', 'requests')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def server(make_folder: MakeFolder, tmp_path: Path) -> Iterator[tuple[int, list[subprocess.Popen[bytes]]]]:
    """A free port, and a list into which the test puts the server that it starts there."""
    started: list[subprocess.Popen[bytes]] = []
    yield free_port(), started
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_server_that_is_away_then_loses_a_reply_gets_every_trial_once(
    make_folder: MakeFolder, tmp_path: Path, server: tuple[int, list[subprocess.Popen[bytes]]]
) -> None:
    port, started = server
    with LossyProxy(port, lose="/runs/create", which=3) as proxy:
        uri = f"http://127.0.0.1:{proxy.port}"
        records = make_mixed_records(6)
        folder = make_folder([records], uri=uri, artifact_root=None, budget=6)
        assert ship(folder, patience=1.0) == EXIT_WAITING
        assert load_state(folder).last_error is not None
        assert not load_cursor(folder, uri).shipped

        started.append(start_server(port, tmp_path))
        assert ship(folder, patience=60.0) == 0
        assert proxy.lost == 1
        assert load_state(folder).last_error is None
        assert load_cursor(folder, uri).shipped == {path.name for path in segment_paths(folder)}
        trials = trials_of(folder)
        assert sorted(trials) == list(range(6))
        assert {held.status for held in trials.values()} == {"FINISHED", "FAILED"}
        assert table_of(folder, tmp_path)["trial"] == list(range(6))

    twin = make_folder([records], name="twin", study_id="00000000-twin", study="twin")
    assert load_order(twin).uri.startswith("sqlite")
    assert ship(twin) == 0
    rows = {number: held.rows for number, held in trials_of(twin).items()}
    assert {number: held.rows for number, held in trials.items()} == rows


def test_what_stood_in_the_way_of_an_earlier_shipper_is_no_reason_to_give_up_now(make_folder: MakeFolder) -> None:
    folder = make_folder([make_mixed_records(1)])
    save_state(folder, ShipperState(last_error="the server of yesterday is away"))
    process = ShipperProcess(folder, delay=3600.0)
    assert process.last_error() is None
    assert process._process is None, "nothing but yesterday's shipper has said a word"
