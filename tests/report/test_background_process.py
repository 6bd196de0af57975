"""The process that remakes the report: it makes what it should, and ends when its driver does."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gradstab.commands.status import write_report_if_stale
from gradstab.record.segments import write_segment
from gradstab.record.study_folder import StudyFolder
from gradstab.report.background_process import LOG_NAME, ReportProcess
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
    process.notify(40, 40)
    process.close(lambda: False, print)
    assert (folder / LOG_NAME).read_text() == ""
    assert (folder / "report" / "index.html").exists()
    assert json.loads((folder / "report" / "region.json").read_text())["num_trials"] == 40
    assert len(list((folder / "heat_maps").glob("trial-*"))) == 2


def test_no_report_where_none_is_wanted(folder: Path) -> None:
    process = ReportProcess(folder, math.inf)
    process.notify(40, 40)
    process.close(lambda: False, print)
    assert not (folder / "report").exists()


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
    process.notify(done, new)
    process.close(lambda: stopped, print)
    assert not (folder / "report").exists()


def test_it_ends_with_its_driver(folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "gradstab.report.background", "--folder", str(folder)], stdin=subprocess.PIPE
    )
    assert process.stdin is not None
    time.sleep(1.0)
    process.stdin.close()
    assert process.wait(150) == 0
    assert not (folder / "report").exists()
