"""The stacks of a pack: which of its members train together, and in which order the stacks do."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from gradstab.study.pack_key import stack_key
from gradstab.study.recipe import Recipe


def stacks_in_order(recipes: Sequence[Recipe]) -> list[list[int]]:
    """The members of each stack by their position in the pack: deepest first, and the stack of the deepest first."""
    stacks: dict[tuple[object, ...], list[int]] = {}
    for index in sorted(range(len(recipes)), key=lambda index: -recipes[index].depth):
        stacks.setdefault(stack_key(recipes[index]), []).append(index)
    return list(stacks.values())


def nominal_ends(recipes: Sequence[Recipe], stacks: Sequence[Sequence[int]]) -> list[float]:
    """The share of the pack's work at which each stack ends, where every layer of every member costs the same."""
    layers = list(itertools.accumulate(sum(recipes[index].depth + 1 for index in members) for members in stacks))
    return [done / layers[-1] for done in layers]
