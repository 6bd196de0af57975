"""Which trials may train together: the pack key, and the sizes that decide array shapes."""

from __future__ import annotations

from dataclasses import dataclass

from gradstab.study.recipe import Recipe, structural_fields

PackKey = tuple[object, ...]


LANE = 16  # floats in a vector register: shapes are padded to it so that results do not depend on the pack


def pack_key(recipe: Recipe) -> PackKey:
    """Recipes with equal keys may train in one pack."""
    return tuple(getattr(recipe, field) for field in structural_fields())


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
    return (recipe.activation, recipe.momentum > 0, recipe.weight_decay > 0)
