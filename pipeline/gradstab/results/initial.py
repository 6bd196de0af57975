"""The network with which a trial began."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gradstab.errors import UsageError
from gradstab.study.module_recipe import ModuleRecipe
from gradstab.study.origin import FROM_RECORD
from gradstab.study.recipe import Recipe
from gradstab.training.initial_module import fully_connected
from gradstab.training.modules.work import ModuleWork
from gradstab.user_code.stored import read_code

if TYPE_CHECKING:
    from torch import nn

    from gradstab.results.results import Results


def initial_module(results: Results, number: int) -> nn.Module:
    """The network of a trial before its first step; see `Results.module`."""
    record, study = results.record(number), results.study
    if study.model is None:
        shape = study.data.shape()
        recipe = Recipe.model_validate(record.recipe, context=FROM_RECORD)
        return fully_connected(recipe, record.seed, shape.num_features, shape.num_classes)
    code = read_code(results.folder.path, record.code)
    if code is None:
        raise UsageError(
            f"{results.folder.path} must hold the code of the study's modules in code/, and does not: run the study "
            "from its file again, which puts it there"
        )
    work = ModuleWork(study.model, code, study.data, study.seed, math.nan)
    return work.initial_module(ModuleRecipe.model_validate(record.recipe, context=FROM_RECORD), record.seed)
