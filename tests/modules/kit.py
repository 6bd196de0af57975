"""What tests of training modules share: recipes, data and programs without a study file."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gradstab.record.trajectory import Trajectory
from gradstab.study.data_spec import Digits
from gradstab.study.module_recipe import ModuleRecipe
from gradstab.training.modules.data import ModuleData
from gradstab.training.modules.member import ModuleMember
from gradstab.training.modules.program import Program
from gradstab.training.tensor_data import load_tensor_data
from gradstab.training.trainer import train
from tests.modules import networks

CPU = torch.device("cpu")
DIGITS = ModuleData(load_tensor_data(Digits(), 0), math.log(10))


def recipe(**fields: Any) -> ModuleRecipe:
    """A recipe of a module; what is no field of a recipe is an argument of `build`."""
    known = {name: value for name, value in fields.items() if name in ModuleRecipe.model_fields}
    arguments = {name: value for name, value in fields.items() if name not in known}
    settings = {"steps": 12, "batch_size": 32, "probe_every": 5, "probe_samples": 64, "learning_rate": 0.1, **known}
    return ModuleRecipe(build="tests:build", arguments=arguments, given=tuple(arguments), **settings)


def program(build: Callable[..., nn.Module], loss: Callable[[Any, Any], Any] = networks.loss, **more: Any) -> Program:
    """The functions of a study."""
    return Program(build, loss, **more)


def member(of: Program, given: ModuleRecipe, seed: int = 7, data: ModuleData = DIGITS) -> ModuleMember:
    """One module before its training."""
    with torch.no_grad():
        return ModuleMember([given], [seed], data, CPU, of)


def trained(of: Program, given: ModuleRecipe, seed: int = 7, data: ModuleData = DIGITS) -> Trajectory:
    """The trajectory of one module."""

    def family(recipes: Any, seeds: Any, rows: Any, device: torch.device) -> ModuleMember:
        return ModuleMember(recipes, seeds, rows, device, of)

    with torch.no_grad():
        (found,) = train([given], [seed], data, CPU, family)
    return found
