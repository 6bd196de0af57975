"""A user's module from a file: trained, killed, continued, changed, refused; every number once, values bit-equal."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from gradstab.commands.submit import pack_parcel
from gradstab.errors import UsageError
from gradstab.study.file import load_study_file
from gradstab.user_code.stored import read_code
from tests.endtoend.command import AWAY, Place, assert_exactly_once, values_of

TRIALS = 20
SERIAL = ("--engine", "serial")

STUDY = '''
"""A residual stack, as a user writes it."""
import torch
from torch import nn
import torch.nn.functional as F

from gradstab import Choice, LogInteger, LogReal, Model, Study
from blocks_of_mine import Block

class Net(nn.Module):
    def __init__(self, depth, width, norm):
        super().__init__()
        self.embed = nn.Linear(64, width)
        self.blocks = nn.ModuleList(Block(width, norm) for _ in range(depth))
        self.out = nn.Linear(width, 10)

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.out(x)

def build(depth, width, *, norm="layer"):
    {fault}
    return Net(depth, width, norm)

def loss(outputs, targets):
    return F.cross_entropy(outputs, targets, reduction="none")

STUDY = Study(
    name="study", question="How deep?", model=Model(build, loss), budget={{"trials": {trials}}},
    space={{"depth": LogInteger(2, 6), "weight_scale": LogReal(.3, 3), "norm": Choice(("layer", "none"))}},
    recipe={{"width": 8, "steps": 4, "batch_size": 32, "probe_samples": 64, "learning_rate": 0.05}},
)
'''
BLOCKS = """
from torch import nn

class Block(nn.Module):
    def __init__(self, width, norm):
        super().__init__()
        self.norm = nn.LayerNorm(width) if norm == "layer" else nn.Identity()
        self.branch = nn.Linear(width, width)

    def forward(self, x):
        x.sum().item()  # no stack can do that: whether stacks pay is measured, and two dry runs may differ
        return x + self.branch(self.norm(x)).relu()
"""


def declare(root: Path, *, trials: int = TRIALS, fault: str = "pass") -> Place:
    (root / "study.py").write_text(STUDY.format(trials=trials, fault=fault))
    (root / "blocks_of_mine.py").write_text(BLOCKS)
    return Place(root)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = declare(tmp_path_factory.mktemp("undisturbed"))
    done = place.run_unshipped("run", "study.py", *SERIAL)
    assert done.returncode == 0, done.stderr
    return place


@pytest.mark.faults
def test_a_killed_study_of_modules_is_continued_with_the_same_values(tmp_path, undisturbed, empty_database):
    place = declare(tmp_path).with_database(empty_database)
    for planted in ("record:1", "tell:2"):
        done = place.run("run", "study.py", *SERIAL, GRADSTAB_KILL_AT=planted)
        assert done.returncode == -signal.SIGKILL, (planted, done.stderr)
    last = place.run("run", "study.py", *SERIAL)
    assert last.returncode == 0, last.stderr
    assert_exactly_once(place, TRIALS)
    assert values_of(place.records()) == values_of(undisturbed.records())


def test_records_carry_arguments_taps_and_the_hash_of_the_code(undisturbed):
    kept = read_code(undisturbed.folder)
    assert kept is not None
    for record in undisturbed.records():
        assert record.trajectory is not None
        assert record.code == kept.digest
        depth = record.point["depth"]
        assert record.recipe["arguments"] == {"depth": depth, "width": 8, "norm": record.point["norm"]}
        assert record.trajectory.taps == tuple(f"blocks.{place}" for place in range(int(depth)))


def test_results_are_read_where_the_code_is_gone_and_modules_come_back_from_the_folder(undisturbed, tmp_path):
    import torch

    from gradstab import load_results

    for file in ("study.py", "blocks_of_mine.py"):
        (undisturbed.root / file).rename(tmp_path / file)
    try:
        for verb in (("status", "study"), ("region", "study"), ("list",)):
            done = undisturbed.call(*verb)
            assert done.returncode == 0, (verb, done.stderr)
        results = load_results("study", results=str(undisturbed.root / "results"))
        first, again = results.module(3), results.module(3)
        for one, other in zip(first.parameters(), again.parameters(), strict=True):
            assert torch.equal(one, other)
        assert len(results.trials) == TRIALS
    finally:
        for file in ("study.py", "blocks_of_mine.py"):
            (tmp_path / file).rename(undisturbed.root / file)


@pytest.mark.faults
def test_changed_code_is_refused_by_its_files_name_and_accepted_on_request(tmp_path):
    place = declare(tmp_path, trials=4)
    assert place.run("run", "study.py", *SERIAL, **AWAY).returncode == 0
    text = (tmp_path / "study.py").read_text()
    (tmp_path / "study.py").write_text(text.replace("How deep?", "How deep, in blocks?") + "\n# a comment\n")
    assert place.run("run", "study.py", *SERIAL, "--trials", "5", **AWAY).returncode == 0
    (tmp_path / "blocks_of_mine.py").write_text(BLOCKS.replace(".relu()", ".tanh()"))
    refused = place.run("run", "study.py", *SERIAL, "--trials", "6", **AWAY)
    assert refused.returncode == 2
    assert "blocks_of_mine.py changed since the study 'study' began" in refused.stderr
    assert "Traceback" not in refused.stderr
    accepted = place.run("run", "study.py", *SERIAL, "--trials", "6", "--accept-changed-code", **AWAY)
    assert accepted.returncode == 0, accepted.stderr
    assert len(place.records()) == 6


def test_a_fault_of_every_module_ends_the_run_before_the_first_trial(tmp_path):
    place = declare(tmp_path, fault='raise ValueError("no such width")')
    done = place.call_unshipped("run", "study.py", *SERIAL)
    assert done.returncode == 2
    assert "ValueError: no such width" in done.stderr
    assert "study.py" in done.stderr
    assert not place.records()


@pytest.mark.faults
def test_a_fault_of_one_structure_fails_its_trials_and_ends_the_run_at_the_third(tmp_path):
    place = declare(tmp_path, trials=40, fault='if depth == 3 and norm == "none": raise ValueError("three is bad")')
    done = place.run("run", "study.py", *SERIAL, **AWAY)
    assert done.returncode != 0
    assert "three is bad" in done.stderr
    assert "3 trials" in done.stderr
    failed = [record for record in place.records() if record.failure is not None]
    assert len(failed) >= 3  # a pack may hold more of them
    assert {str(record.failure).partition(":")[0] for record in failed} == {"program"}
    assert {record.point["depth"] for record in failed} == {3}
    assert any(record.trajectory is not None for record in place.records())


def test_check_says_what_was_tried(undisturbed):
    done = undisturbed.call("check", "study.py", "--format", "json")
    assert done.returncode == 0, done.stderr
    modules = json.loads(done.stdout)["modules"]
    assert [one["point"]["depth"] for one in modules["tried"]] == [2, 6, 3]
    assert modules["reference_loss"] == pytest.approx(2.3024, abs=1e-3)
    assert modules["tried"][1]["taps"] == [f"blocks.{place}" for place in range(6)]


def test_a_submitted_job_carries_the_modules_beside_the_study(tmp_path):
    declare(tmp_path)
    study = load_study_file(tmp_path / "study.py")
    parcel = tmp_path / "parcel"
    parcel.mkdir()
    pack_parcel(study, tmp_path / "study.py", parcel)
    assert (parcel / "blocks_of_mine.py").read_text() == BLOCKS
    with pytest.raises(UsageError, match="must be submitted by its file, got the name 'study'"):
        pack_parcel(study, None, parcel)
