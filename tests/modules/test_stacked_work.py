"""A study of modules from a file: what its dry run finds decides what its packs compute at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from gradstab.loop.ports import Outcome, Slot
from gradstab.loop.trial import Trial, trial_seed
from gradstab.record.dry_run import TriedModule
from gradstab.record.trajectory import Trajectory
from gradstab.study.axes import Value
from gradstab.study.file import load_study_file
from gradstab.study.module_recipe import module_recipe
from gradstab.study.study import Study
from gradstab.training.modules import dry_run
from gradstab.training.modules.work import ModuleWork
from gradstab.user_code.code import collect_code

SLOT = Slot("cpu-0")
STUDY = """
import torch.nn.functional as F
from torch import nn
from gradstab import Integer, LogReal, Model, Study


def build(depth, *, gain=1.0):
    layers = [nn.Linear(64, 16), nn.Tanh()]
    for _ in range(depth):
        layers += [nn.Linear(16, 16), nn.Tanh()]
        nn.init.normal_(layers[-2].weight, std=gain / 4)
    return nn.Sequential(*layers, nn.Linear(16, 10))


def loss(outputs, targets):
    return F.cross_entropy(outputs, targets, reduction="none")


STUDY = Study(
    name="stacked",
    question="Does a stack change anything?",
    model=Model(build, loss, {traced}reference_loss=2.3),
    space={{"depth": Integer(2, 6), "learning_rate": LogReal(1e-3, 1e-1), "gain": LogReal(0.5, 2.0)}},
    recipe={{"steps": 12, "batch_size": 16, "probe_every": 5, "probe_samples": 64}},
    budget={{"trials": 8}},
)
"""


@pytest.fixture(autouse=True)
def _settings(trains_here: None) -> None:
    del trains_here


def study_and_work(folder: Path, traced: str) -> tuple[Study, ModuleWork]:
    path = folder / "stacked.py"
    path.write_text(STUDY.format(traced=traced))
    study = load_study_file(path)
    assert study.model is not None
    code = collect_code(sorted(study.model.functions), path)
    return study, ModuleWork(study.model, code, study.data, study.seed, 2.3)


def trials_at(study: Study, depths: list[int]) -> list[Trial]:
    points: list[dict[str, Value]] = [
        {"depth": depth, "learning_rate": 0.01 * (place + 1), "gain": 1 + 0.1 * place}
        for place, depth in enumerate(depths)
    ]
    return [
        Trial(number, point, module_recipe(study, point), trial_seed(study.seed, number))
        for number, point in enumerate(points)
    ]


def assert_close(found: list[Outcome], expected: list[Outcome], tolerance: float) -> None:
    for one, other in zip(found, expected, strict=True):
        assert isinstance(one, Trajectory)
        assert isinstance(other, Trajectory)
        for name in ("loss", "grad_norm", "log10_delta_norm"):
            np.testing.assert_allclose(one.series[name], other.series[name], rtol=tolerance, err_msg=name)


def test_a_pack_gives_what_each_trial_gives_alone(tmp_path):
    """Depths that were tried, one between them, and one that differs; stacks agree in float32 up to rounding."""
    study, work = study_and_work(tmp_path, 'traced="gain", ')
    found = work.try_out(study)
    assert [one.arguments["depth"] for one in found.tried] == [2, 6, 4]
    work = replace(work, tried=tuple(replace(one, together=8) for one in found.tried))
    trials = trials_at(study, [2, 2, 3, 3, 6, 5])
    torch.set_num_threads(1)
    alone = [replace(work, tried=()).run([trial], SLOT)[0] for trial in trials]
    assert_close(work.run(trials, SLOT), alone, 2e-4)
    stacks = work._stacks()([trial.recipe for trial in trials])
    assert stacks == [[0, 1], [2, 3], [4], [5]]


def test_one_by_one_a_pack_changes_no_bit(tmp_path):
    study, work = study_and_work(tmp_path, 'traced="gain", ')
    trials = trials_at(study, [2, 4, 2, 2])
    alone = [work.run([trial], SLOT)[0] for trial in trials]
    assert_close(work.run(trials, SLOT), alone, 0)


def test_a_real_argument_that_is_not_traced_is_named(tmp_path):
    study, work = study_and_work(tmp_path, "")
    found = work.try_out(study)
    assert {one.together for one in found.tried} == {1}
    assert "traced=['gain']" in found.tried[0].why


def test_what_was_found_is_read_again(tmp_path):
    study, work = study_and_work(tmp_path, 'traced="gain", ')
    found = work.try_out(study)
    assert type(found).parse(found.dump()) == found
    assert all(one.why for one in found.tried)


def test_modules_are_compared_with_packs_as_long_as_there_is_time(monkeypatch):
    """Each comparison takes six of ten seconds, so that the third is not begun."""
    clock = [100.0]

    def compared(found: TriedModule, *_: object) -> TriedModule:
        clock[0] += 6.0
        return replace(found, why="compared")

    monkeypatch.setattr(dry_run, "time", SimpleNamespace(process_time=lambda: clock[0]))
    monkeypatch.setattr(dry_run, "_with_choice", compared)
    tried = TriedModule({}, {}, 1, ("a",), "layers", 0.0, 0.0, 0.0, 0.0, 0)
    nothing: Any = None
    found = dry_run._with_choices([tried] * 3, [nothing] * 3, nothing, nothing, nothing)
    assert [one.why for one in found] == ["compared", "compared", "there was no time to compare it with a pack"]
