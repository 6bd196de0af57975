"""Which members of a pack are computed at once, and which one by one.

A structure that the dry run tried is computed as it found. Any other one is computed one by one, unless it stands
between tried ones: they agree with it in all arguments but whole numbers, members of all of them are computed at once,
and each of its whole numbers lies within theirs. A worker that meets such a structure first compares two of its
members, computed both ways.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence

from gradstab.record.dry_run import TriedModule
from gradstab.study.axes import Value
from gradstab.study.module_recipe import ModuleRecipe
from gradstab.study.recipe import Recipe

Equal = Callable[[ModuleRecipe], bool]
Arguments = Mapping[str, Value | None]


class ModuleStacks:
    """Divides packs into stacks.

    Args:
        tried: what the dry run found.
        are_equal: whether two members of a structure give equal numbers both ways.
    """

    def __init__(self, tried: Sequence[TriedModule], are_equal: Equal) -> None:
        self._tried = tried
        self._are_equal = are_equal
        self._known: dict[Hashable, bool] = {}

    def __call__(self, recipes: Sequence[Recipe]) -> list[list[int]]:
        """The members of each stack by their position in the pack."""
        alike: dict[Hashable, list[int]] = {}
        for index, recipe in enumerate(recipes):
            assert isinstance(recipe, ModuleRecipe)
            # optimizers treat these alike for all members of a stack
            alike.setdefault((recipe.structure(), recipe.momentum > 0, recipe.weight_decay > 0), []).append(index)
        return [stack for members in alike.values() for stack in self._divided(recipes[members[0]], members)]

    def _divided(self, recipe: Recipe, members: list[int]) -> list[list[int]]:
        assert isinstance(recipe, ModuleRecipe)
        most = self.most_members(recipe) if len(members) > 1 else 1
        count = math.ceil(len(members) / most)
        return [members[place::count] for place in range(count)] if most > 1 else [[index] for index in members]

    def most_members(self, recipe: ModuleRecipe) -> int:
        """How many members of a structure are computed at once."""
        same = [one for one in self._tried if _arguments(recipe, one.arguments) == _arguments(recipe, recipe.arguments)]
        if same:
            return same[0].together
        around = [one for one in self._tried if _alike(recipe, one.arguments)]
        if not around or any(one.together == 1 for one in around) or not _is_between(recipe, around):
            return 1
        key = recipe.structure()
        if key not in self._known:
            self._known[key] = self._are_equal(recipe)
        return min(one.together for one in around) if self._known[key] else 1


def _arguments(recipe: ModuleRecipe, given: Arguments) -> dict[str, tuple[type, object]]:
    """The arguments that make the structure; 1 and True differ."""
    return {name: (type(value), value) for name, value in given.items() if name not in recipe.traced}


def _alike(recipe: ModuleRecipe, tried: Arguments) -> bool:
    """Whether arguments agree in all but whole numbers."""
    one, other = _arguments(recipe, recipe.arguments), _arguments(recipe, tried)
    return one.keys() == other.keys() and all(
        value == other[name] or (value[0] is int and other[name][0] is int) for name, value in one.items()
    )


def _is_between(recipe: ModuleRecipe, around: Sequence[TriedModule]) -> bool:
    for name, value in recipe.arguments.items():
        if type(value) is int and name not in recipe.traced:
            values: list[Value | None] = [one.arguments[name] for one in around]
            numbers = [number for number in values if isinstance(number, int)]
            if not min(numbers) <= value <= max(numbers):
                return False
    return True
