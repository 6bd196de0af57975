"""Which trials may train together: the pack key, and the sizes that decide array shapes."""

from __future__ import annotations

from dataclasses import dataclass

from gradstab.study.module_recipe import ModuleRecipe
from gradstab.study.recipe import BUILDABLE, Recipe, fields_with, structural_fields

PackKey = tuple[object, ...]


LANE = 16  # floats in a vector register: shapes are padded to it so that results do not depend on the pack


def pack_key(recipe: Recipe) -> PackKey:
    """Recipes with equal keys may train in one pack. What a module is built of decides stacks, not packs."""
    fields = structural_fields()
    if isinstance(recipe, ModuleRecipe):
        fields = tuple(field for field in fields if field not in fields_with(BUILDABLE))
    return tuple(getattr(recipe, field) for field in fields)


def padded(size: int) -> int:
    """`size` rounded up to whole vector registers."""
    return -(-size // LANE) * LANE


@dataclass(frozen=True)
class DataShape:
    """Size of a data set: rows, features of a row, classes."""

    num_rows: int
    num_features: int
    num_classes: int


def stack_key(recipe: Recipe) -> tuple[object, ...]:
    """Members of a pack with equal keys form a stack: they go through exactly the same operations together."""
    uses = (recipe.momentum > 0, recipe.weight_decay > 0)
    if isinstance(recipe, ModuleRecipe):
        return (recipe.build, *uses)
    return (recipe.activation, *uses)
