"""Cost models of planted machines, on which each part of a pack takes a known multiple of what is assumed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gradstab.loop.cost_model import CostModel, PackSeconds
from gradstab.study.pack_key import DataShape
from gradstab.study.recipe import Recipe

SHAPE = DataShape(num_rows=1797, num_features=64, num_classes=10)
SIZES = (1, 3, 24, 96, 6, 48, 12, 2, 64, 32)


def planted_seconds(recipes: Sequence[Recipe], dispatch: float, arithmetic: float, shape: DataShape = SHAPE) -> float:
    """Seconds of a pack on a machine whose two parts are so many times slower than assumed."""
    pack = PackSeconds(CostModel(), shape)
    for recipe in recipes:
        pack.add(recipe)
    return dispatch * pack.dispatch + arithmetic * pack.members


def learned_cost(
    recipe: Recipe,
    dispatch: float,
    arithmetic: float,
    *,
    shape: DataShape = SHAPE,
    noise: Callable[[], float] = lambda: 1.0,
) -> CostModel:
    """What is learnt from packs of many sizes of this recipe on such a machine."""
    cost = CostModel()
    for _ in range(3):
        for size in SIZES:
            pack = [recipe] * size
            cost = cost.learned(pack, shape, planted_seconds(pack, dispatch, arithmetic, shape) * noise())
    return cost


def cost_taking(seconds: float, recipe: Recipe, shape: DataShape = SHAPE) -> CostModel:
    """A machine on which one more trial of this recipe takes so long, and dispatch takes nothing worth a word."""
    arithmetic = seconds / planted_marginal(recipe, shape)
    return learned_cost(recipe, 0.1 * arithmetic, arithmetic, shape=shape)


def planted_marginal(recipe: Recipe, shape: DataShape = SHAPE) -> float:
    """Seconds that are assumed for one more member."""
    return CostModel().seconds(recipe, shape)
