"""Asserts that the peer and gradstab train the same modules: parameters, and the last loss that the peer reports."""

from __future__ import annotations

import math
from typing import Any

import torch

from gradstab.loop.ports import Slot
from gradstab.record.dry_run import TriedModule
from gradstab.record.trajectory import Trajectory
from gradstab.study.module_recipe import module_recipe
from gradstab.study.study import Study
from gradstab.training.modules.work import ModuleWork
from gradstab.user_code.code import collect_code
from tests.bench.same_networks import NetworksDifferError
from tests.bench.studies import trials_of

_CLOSE = 3e-4  # relative: rounding grows along a training; other initial weights make more than that


def work_of(study: Study, tried: tuple[TriedModule, ...] = ()) -> ModuleWork:
    """What trains the study in this process: modules one by one, unless `tried` says otherwise."""
    assert study.model is not None
    code = collect_code([study.model.build], None)
    return ModuleWork(study.model, code, study.data, study.seed, reference_loss=1.0, tried=tried)


def check_peer_of_modules(study: Study, results: list[dict[str, Any]]) -> None:
    """The first of the peer's trials has our module's parameters and ends at our loss.

    Raises:
        NetworksDifferError: it differs.
    """
    torch.set_num_threads(1)
    (trial,) = trials_of(study, [results[0]["point"]])
    work = work_of(study)
    module = work.initial_module(module_recipe(study, trial.point), results[0]["seed"])
    parameters = sum(parameter.numel() for parameter in module.parameters())
    if results[0]["parameters"] != parameters:
        raise NetworksDifferError(f"the peer trains {results[0]['parameters']} parameters, gradstab {parameters}")
    ours = work.run([type(trial)(trial.number, trial.point, trial.recipe, results[0]["seed"])], Slot("cpu-0"))[0]
    assert isinstance(ours, Trajectory), ours
    last = (trial.recipe.steps - 1) // trial.recipe.probe_every * trial.recipe.probe_every
    expected = float(ours["loss"][last])
    if not math.isclose(results[0]["loss"], expected, rel_tol=_CLOSE):
        raise NetworksDifferError(f"the peer's loss is {results[0]['loss']}, gradstab's {expected}")
