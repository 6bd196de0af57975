"""The process that remakes the report: it makes what it should, and ends when its driver does."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gradstab.commands.run_summary import write_report_if_stale
from gradstab.record.segments import write_segment
from gradstab.record.study_folder import StudyFolder
from gradstab.report import background_process
from gradstab.report.background_process import FIRST_COST_S, LOG_NAME, ReportProcess
from gradstab.report.pace import SHARE
from gradstab.results.results import Results
from gradstab.study.study import Study
from tests.fakes import make_record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study of 40 recorded trials."""
    folder = tmp_path / "study"
    folder.mkdir()
    study = Study.model_validate(
        {
            "name": "study", "question": "Where?", "budget": {"trials": 40}, "tracking": {"heat_maps": 2},
            "space": {
                "depth": {"type": "log_integer", "low": 2, "high": 16},
                "init_scale": {"type": "log_real", "low": 0.5, "high": 4.0},
            },
        }
    )  # fmt: skip
    content = {"schema_version": 1, "study_id": "a" * 32, "study": study.dump()}
    (folder / "study.json").write_text(json.dumps(content), encoding="utf-8")
    records = [
        make_record(n, point={"depth": 2 + n % 15, "init_scale": 0.5 + 0.08 * n}, decades_per_layer=0.02 * (n - 20))
        for n in range(40)
    ]
    write_segment(folder, 0, records)
    return folder


def test_the_last_report_is_made_with_heat_maps_of_the_trials_nearest_the_boundary(folder: Path) -> None:
    process = ReportProcess(folder, 30)
    process.notify(40, 40, 0.0, 2)
    process.close(lambda: False, print)
    assert (folder / LOG_NAME).read_text() == ""
    check_last_report(folder)


def check_last_report(folder: Path) -> None:
    assert (folder / "report" / "index.html").exists()
    assert json.loads((folder / "report" / "region.json").read_text())["num_trials"] == 40
    assert len(list((folder / "heat_maps").glob("trial-*"))) == 2


def test_no_report_where_none_is_wanted(folder: Path) -> None:
    process = ReportProcess(folder, math.inf)
    process.notify(40, 40, 0.0, 2)
    process.close(lambda: False, print)
    assert not (folder / "report").exists()


@pytest.mark.usefixtures("undrawn")
def test_a_page_of_the_same_trials_is_not_made_again_and_an_older_one_is(folder: Path) -> None:
    results = Results(StudyFolder(folder))
    page = write_report_if_stale(results)
    assert page is not None
    page.write_text("as it was")
    assert write_report_if_stale(results) == page
    assert page.read_text() == "as it was"
    os.utime(page, (0, 0))
    assert write_report_if_stale(results) == page
    assert page.read_text() != "as it was"


@pytest.mark.parametrize(("done", "new", "stopped"), [(29, 29, False), (40, 0, False), (40, 40, True)])
def test_no_report_of_few_trials_or_none_that_is_new_or_after_a_stop(
    folder: Path, done: int, new: int, stopped: bool
) -> None:
    process = ReportProcess(folder, 30)
    process.notify(done, new, 0.0, 2)
    process.close(lambda: stopped, print)
    assert not (folder / "report").exists()


# a process without rests, for a driver that is this test
AT_ONCE = (
    "from gradstab.report import background; background.SHORTEST_REST_S = background.REST = 0.1; background.main()"
)
RICH, POOR = "numbers 1e9 1e9\n", "numbers 1 1e9\n"  # CPU seconds that the run had, and seconds until it ends


def test_it_remakes_the_report_while_the_study_runs_and_makes_no_last_one_for_a_driver_that_died(folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", AT_ONCE, "--folder", str(folder)], stdin=subprocess.PIPE, bufsize=0
    )
    try:
        page, region = folder / "report" / "index.html", folder / "report" / "region.json"
        assert process.stdin is not None
        process.stdin.write(RICH.encode())
        await_that(process, lambda: page.exists() and json.loads(region.read_text())["num_trials"] == 40)
        write_segment(folder, 1, [make_record(40, point={"depth": 5, "init_scale": 2.0})])
        await_that(process, lambda: json.loads(region.read_text())["num_trials"] == 41)
        process.stdin.write(POOR.encode())
        shutil.rmtree(folder / "report")  # a last report would make it again
        process.stdin.close()
        assert process.wait(150) == 0
        assert not (folder / "report").exists()
    finally:
        process.kill()
        process.wait()


def await_that(process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    """Until a condition holds, which must come true while the process lives."""
    deadline = time.monotonic() + 150
    while True:
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            if condition():
                return
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Clock:
    """Time that passes when the test says so."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_a_study_that_runs_long_has_its_report_made_beside_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is started once a report costs little of what the run had, and only once."""
    clock = Clock()
    monkeypatch.setattr(background_process, "time", clock)
    process = ReportProcess(folder, 30)
    log = folder / LOG_NAME  # is there as soon as the process has been started
    clock.now += 0.4 * FIRST_COST_S / SHARE
    process.notify(40, 40, 1000.0, 2)
    assert not log.exists(), "a report would cost more than its share of what two slots had"
    clock.now += 0.2 * FIRST_COST_S / SHARE
    process.notify(29, 29, 1000.0, 2)
    assert not log.exists(), "too few trials"
    process.notify(40, 40, 1000.0, 2)
    assert log.exists()
    log.unlink()
    clock.now += 10
    process.notify(40, 40, 1000.0, 2)
    process.close(lambda: False, print)
    assert not log.exists(), "one process a study"
    check_last_report(folder)


def test_near_its_end_a_study_starts_the_process_for_the_last_report_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(background_process, "time", clock)
    process = ReportProcess(folder, 30)
    clock.now += 20
    process.notify(40, 40, 15.0, 2)
    assert not (folder / LOG_NAME).exists(), "15 seconds are left"
    process.notify(40, 40, 5.0, 2)
    clock.now += 2
    process.notify(40, 40, 5.0, 2)
    assert (folder / LOG_NAME).exists()
    process.close(lambda: False, print)
    check_last_report(folder)
