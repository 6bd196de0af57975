"""For which networks mean-field theory is asked: fully connected ones, with an activation that this process knows."""

from __future__ import annotations

from gradstab.activations.registry import is_known
from gradstab.study.module_recipe import ModuleRecipe
from gradstab.study.recipe import Recipe


def has_theory(recipe: Recipe) -> bool:
    """Whether theory says something of this recipe: not of a module, nor of a function that is not imported here."""
    return not isinstance(recipe, ModuleRecipe) and is_known(recipe.activation)
