"""Before a run of modules: changed code is refused once trials are on record, and what was tried is not tried again."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gradstab.errors import UsageError
from gradstab.record.dry_run import DryRun, TriedModule, save_dry_run
from gradstab.record.segments import write_segment
from gradstab.record.study_folder import StudyFolder
from gradstab.session import child_clock
from gradstab.session.child_clock import ChildClock, Limits
from gradstab.session.own_network import code_of, prepare_modules, try_modules
from gradstab.study.file import load_study_file
from gradstab.user_code.stored import save_code
from tests.fakes import make_record

FILE = """
from torch import nn
from gradstab import LogInteger, Model, Study
def build(depth): return nn.Linear(64, {width})
def loss(outputs, targets): return outputs.mean(1)
STUDY = Study(name="own", question="?", model=Model(build, loss), space={{"depth": LogInteger(2, 4)}}, budget={{"trials": 4}})
"""


@pytest.fixture
def begun(tmp_path: Path) -> tuple[Path, StudyFolder]:
    """A study whose first code was recorded, and whose present code was tried."""
    path, folder = tmp_path / "own.py", StudyFolder(tmp_path / "results" / "own")
    folder.path.mkdir(parents=True)
    path.write_text(FILE.format(width=10))
    study = load_study_file(path)
    save_code(folder.path, code_of(study, path, folder))
    path.write_text(FILE.format(width=12))
    tried = TriedModule({"depth": 2}, {"depth": 2}, 1, ("a",), "layers", 0.0, 0.0, 0.0, 1.0, 0)
    digest = code_of(study, path, folder).digest
    save_dry_run(folder.path, DryRun(digest, 2.3, "given", "", (1797, 64, 10), (tried,), ("a warning",)))
    return path, folder


def test_changed_code_is_refused_once_trials_are_recorded_and_taken_on_request(begun):
    path, folder = begun
    study = load_study_file(path)
    write_segment(folder.path, 0, [make_record(0)])
    with pytest.raises(UsageError, match=r"own\.py changed since the study 'own' began.*--accept-changed-code"):
        prepare_modules(study, path, folder, lambda _: None)
    code, _ = prepare_modules(study, path, folder, lambda _: None, accept_changed=True)
    assert code.sources["own.py"] == path.read_bytes()


def test_without_a_record_code_may_change_and_what_was_tried_is_said_again(begun):
    path, folder = begun
    said: list[str] = []
    _, found = prepare_modules(load_study_file(path), path, folder, said.append)
    assert said == ["a warning"]
    assert found.reference_loss == 2.3


@pytest.mark.parametrize(
    ("does", "limits", "sentence"),
    [
        ("while True: pass", Limits(computing=8), r"they took longer \(took \d+ s, of which ([89]|\d\d) s were computing\): make"),
        ("time.sleep(1e6)", Limits(idle=6), r"they did nothing for 6 s \(took \d+ s, of which \d+ s were computing\): see what"),
        ("while True: pass", Limits(wall=4), r"they took \d+ s, of which \d+ s were computing.*: try again, or make"),
    ],
    ids=["computes", "sleeps", "on a busy machine"],
)  # fmt: skip
def test_a_child_that_does_not_end_is_judged_by_what_it_computes(tmp_path, does, limits, sentence):
    path, folder = tmp_path / "own.py", StudyFolder(tmp_path / "results" / "own")
    body = f"\n    import time\n    {does}\n    return nn"
    path.write_text(FILE.format(width=10).replace(" return nn", body))
    study = load_study_file(path)
    with pytest.raises(UsageError, match=sentence) as refused:
        try_modules(study, code_of(study, path, folder), limits)
    assert "\n" not in str(refused.value)


def test_what_a_child_started_computes_for_it():
    """As workers that load data do."""
    parent = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    clock = ChildClock(Limits(computing=2))
    with subprocess.Popen([sys.executable, "-c", parent], start_new_session=True) as child:
        while not clock.is_over(child.pid):
            time.sleep(0.1)
        os.killpg(child.pid, signal.SIGKILL)
    assert clock.reason.startswith("took longer (took ")


def test_a_busy_machine_is_named(monkeypatch):
    busy = "other processes keep 2 of 2 cores busy"
    monkeypatch.setattr(child_clock, "busy_text", lambda wanted: busy if wanted == 1 else None)
    clock = ChildClock(Limits(computing=math.inf, wall=0.0))
    assert clock.is_over(os.getpid())
    assert re.match(rf"took 0 s, of which \d+ s were computing, and {busy}: try again", clock.reason)
    monkeypatch.setattr(child_clock, "busy_text", lambda _: None)
    assert clock.is_over(os.getpid())
    assert "busy" not in clock.reason
