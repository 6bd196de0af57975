"""A worker that runs other code than the driver is not used."""

from __future__ import annotations

import shutil
from pathlib import Path

import gradstab
from gradstab.execution.ray_worker import Worker
from gradstab.loop.ports import Slot
from gradstab.system.provenance import code_digest
from tests.fakes_work import PoisonousWork

PACKAGE = Path(gradstab.__file__).parent


def test_the_digest_is_that_of_the_source_wherever_it_lies(tmp_path: Path) -> None:
    copied = tmp_path / "elsewhere"
    shutil.copytree(PACKAGE, copied, ignore=shutil.ignore_patterns("__pycache__"))
    assert code_digest(copied) == code_digest(PACKAGE) == code_digest()
    changed = tmp_path / "changed"
    shutil.copytree(copied, changed)
    (changed / "loop" / "packing.py").write_text((copied / "loop" / "packing.py").read_text() + "\n# one line more\n")
    moved = tmp_path / "moved"
    shutil.copytree(copied, moved)
    (moved / "errors.py").rename(moved / "faults.py")
    assert len({code_digest(folder) for folder in (copied, changed, moved)}) == 3


def test_a_worker_with_the_driver_s_code_is_ready_and_another_says_why_not() -> None:
    worker = Worker.__new__(Worker)  # what sets up a process of its own is left out
    worker._work, worker._slot = PoisonousWork(frozenset(), 0), Slot("cpu-0")
    assert worker.ready(code_digest()) == (None, None)
    assert worker.ready(None) == (None, None)
    why, _ = worker.ready("0" * 64)
    assert why is not None
    assert str(PACKAGE) in why
    assert "not the code that the driver runs" in why
