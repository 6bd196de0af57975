"""Theory of fully connected networks says nothing of modules, also where the recipe has the same fields."""

from __future__ import annotations

import numpy as np

from gradstab.study.axes import LogInteger, LogReal
from gradstab.study.model_spec import Model, ModelSpec
from gradstab.study.recipe import Recipe
from gradstab.study.study import Study
from gradstab.theory.depth_scale_field import log_depth_left, trainable_depths
from gradstab.theory.ratio_field import predicted_field
from gradstab.theory.relative_scale import resolved_recipe

SPACE = {"depth": LogInteger(2, 20), "init_scale": LogReal(0.5, 3)}
POINT = {"depth": 10, "init_scale": 1.5}


def recipe_of(model: ModelSpec | None) -> Recipe:
    study = Study(name="a", question="?", model=model, space=SPACE, budget={"trials": 5})
    return resolved_recipe(study, POINT)


def test_fields_are_known_for_the_family_and_not_for_modules():
    own, module = recipe_of(None), recipe_of(Model("mlp"))
    for field in (predicted_field, trainable_depths, log_depth_left):
        first, second = field([own, module])
        assert np.isfinite(first)
        assert np.isnan(second)
