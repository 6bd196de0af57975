"""A benchmark of hours goes on where it stopped: finished parts are kept by commit, machine, kernels and rounds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.full import Kept, Part
from tests.bench.goals import BARE_LOOP
from tests.bench.kernels import kernels_environment
from tests.bench.measure import Row

PART = Part("training", "avx2", "0123abc", "a machine", 3)
ROWS = [Row("width", "gradstab, width 64", "1/s", (20.0, 21.0), (5.0, 5.1), "bare loop", BARE_LOOP[64])]


def test_a_finished_part_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    file = tmp_path / "build" / "full.json"
    kept = Kept(file)
    assert PART not in kept
    kept.add(PART, ROWS, {"load_before": 0.1})
    again = Kept(file)
    assert PART in again
    assert again.rows(PART) == ROWS


@pytest.mark.parametrize("changed", [{"section": "packs"}, {"kernels": "native"}, {"commit": "4567def"}, {"machine": "b"}, {"rounds": None}])  # fmt: skip
def test_a_part_that_differs_in_anything_is_measured(tmp_path: Path, changed: dict[str, str | None]) -> None:
    kept = Kept(tmp_path / "full.json")
    kept.add(PART, ROWS, {})
    assert replace(PART, **changed) not in kept  # type: ignore[arg-type]


def test_parts_do_not_replace_each_other(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "full.json")
    other = replace(PART, kernels="native")
    kept.add(PART, ROWS, {})
    kept.add(other, [], {})
    assert kept.rows(PART) == ROWS
    assert kept.rows(other) == []


def test_code_with_changes_that_no_commit_names_is_measured_each_time(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "full.json")
    dirty = replace(PART, commit="0123abc-dirty")
    kept.add(dirty, ROWS, {})
    assert dirty not in kept
    assert kept.rows(dirty) == ROWS


def test_a_process_without_avx512_asks_for_no_other_environment():
    """It is started once again and no more."""
    wanted = kernels_environment("avx2")
    code = "from tests.bench.kernels import kernels_environment as k; import json; print(json.dumps(k('avx2')))"
    found = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **wanted}, capture_output=True, text=True, check=True
    )
    assert json.loads(found.stdout) == wanted
