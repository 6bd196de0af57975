"""How large packs become: dispatch a tenth at most, within time and memory, and small enough at the end."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstab.loop.cost_model import CostModel, PackSeconds
from gradstab.loop.pack_size import (
    MAX_PACK_TRIALS,
    MOST_DISPATCH,
    MOST_DISPATCH_AT_THE_END,
    PATIENCE_SECONDS,
    USUAL,
    PackTime,
    pack_length,
    time_of_next_pack,
)
from gradstab.loop.packing import pack_bytes
from gradstab.study.recipe import Recipe
from tests.loop.planted_costs import SHAPE, cost_taking, learned_cost

RECIPE = Recipe(depth=10)
NO_HURRY = PackTime(0.0, math.inf)


def parts(cost: CostModel, count: int) -> tuple[float, float]:
    """Dispatch and total seconds of a pack of so many trials."""
    pack = PackSeconds(cost, SHAPE)
    for _ in range(count):
        pack.add(RECIPE)
    return pack.dispatch, pack.total


@pytest.mark.parametrize(("dispatch", "arithmetic"), [(1.0, 1.0), (4.0, 1.0), (2.0, 2.0), (0.2, 1.0)])
def test_a_pack_is_the_smallest_in_which_dispatch_is_a_tenth(dispatch, arithmetic):
    cost = learned_cost(RECIPE, dispatch, arithmetic)
    count, is_full = pack_length([RECIPE] * 500, SHAPE, cost, NO_HURRY, math.inf)
    assert is_full
    share, total = parts(cost, count)
    assert share <= MOST_DISPATCH * total
    share, total = parts(cost, count - 1)
    assert count == 1 or share > MOST_DISPATCH * total


def test_a_machine_ten_times_slower_packs_as_many_as_long_as_it_takes_no_longer_than_the_patience():
    fast, slow = learned_cost(RECIPE, 0.1, 0.1), learned_cost(RECIPE, 1, 1)
    count = pack_length([RECIPE] * 500, SHAPE, fast, NO_HURRY, math.inf)[0]
    assert count == pack_length([RECIPE] * 500, SHAPE, slow, NO_HURRY, math.inf)[0] > 5
    very_slow = learned_cost(RECIPE, 100, 100)
    few = pack_length([RECIPE] * 500, SHAPE, very_slow, NO_HURRY, math.inf)[0]
    assert few < count
    assert parts(very_slow, few)[1] <= PATIENCE_SECONDS or few == 1


def test_trials_that_take_long_make_packs_of_the_least_time():
    cost = cost_taking(1.0, RECIPE)
    count = pack_length([RECIPE] * 50, SHAPE, cost, USUAL, math.inf)[0]
    assert parts(cost, count - 1)[1] < USUAL.least <= parts(cost, count)[1]
    assert pack_length([RECIPE] * 50, SHAPE, cost_taking(1e4, RECIPE), USUAL, math.inf) == (1, True)


def test_the_end_makes_packs_smaller_but_not_so_small_that_dispatch_takes_a_third():
    cost = learned_cost(RECIPE, 4, 1)
    usual, late, last = (
        pack_length([RECIPE] * 500, SHAPE, cost, time_of_next_pack(USUAL, left), math.inf)[0]
        for left in (100.0, 2.0, 0.0)
    )
    assert usual > late > last > 1
    assert parts(cost, late)[1] <= 1.0
    share, total = parts(cost, last)
    assert share <= MOST_DISPATCH_AT_THE_END * total
    share, total = parts(cost, last - 1)
    assert share > MOST_DISPATCH_AT_THE_END * total


def test_a_pack_has_one_key_and_says_that_it_is_full():
    recipes = [RECIPE] * 3 + [RECIPE.at({"width": 32})] * 3
    assert pack_length(recipes, SHAPE, CostModel(), USUAL, 2**40) == (3, True)
    assert pack_length(recipes[:3], SHAPE, CostModel(), USUAL, 2**40) == (3, False)


def test_a_pack_stays_within_memory_but_holds_one_at_least():
    recipes = [RECIPE] * 50
    one, two = (pack_bytes(recipes[:n], SHAPE) for n in (1, 2))
    budget = one + 9 * (two - one)
    length, _ = pack_length(recipes, SHAPE, CostModel(), USUAL, budget)
    assert length == 10
    assert pack_bytes(recipes[:length], SHAPE) <= budget < pack_bytes(recipes[: length + 1], SHAPE)
    assert pack_length(recipes, SHAPE, CostModel(), PackTime(0, 0), 0)[0] == 1
    quick = cost_taking(1e-6, RECIPE)
    assert pack_length([RECIPE] * 5000, SHAPE, quick, USUAL, 2**50) == (MAX_PACK_TRIALS, True)


@given(
    st.lists(st.tuples(st.integers(1, 60), st.sampled_from(("tanh", "relu", "gelu"))), min_size=1, max_size=80),
    st.floats(1e-3, 1e3),
    st.floats(1e-3, 1e3),
    st.integers(2**10, 2**34),
    st.floats(0, 1e3),
)
def test_any_pack_holds_one_trial_or_keeps_to_patience_and_memory(networks, dispatch, arithmetic, room, left):
    cost = learned_cost(RECIPE, dispatch, arithmetic)
    recipes = [RECIPE.at({"depth": depth, "activation": activation}) for depth, activation in networks]
    count, is_full = pack_length(recipes, SHAPE, cost, time_of_next_pack(USUAL, left), room)
    assert 1 <= count <= len(recipes)
    assert is_full or count == len(recipes)
    if count > 1:
        assert cost.pack_seconds(recipes[:count], SHAPE) <= PATIENCE_SECONDS
        assert pack_bytes(recipes[:count], SHAPE) <= room
