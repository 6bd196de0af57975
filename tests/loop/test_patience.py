"""When packs hang: never sooner than the floor, later where packs or steps take long, doubled at each new try."""

from __future__ import annotations

import pytest

from gradstab.loop.cost_model import CostModel
from gradstab.loop.patience import patience_with
from gradstab.loop.speeds import Speeds
from gradstab.loop.trial import Trial
from gradstab.study.recipe import Recipe
from tests.loop.test_runner import declare

LEAST = 120.0
STEPS = 14


def pack_of(seconds: float, count: int = 1) -> tuple[list[Trial], Speeds]:
    """A pack that takes so long, as its cost model knows."""
    recipe, shape = Recipe(depth=4, steps=STEPS), declare().data.shape()
    cost = CostModel().learned([recipe] * count, shape, seconds)
    return [Trial(number, {}, recipe, number) for number in range(count)], Speeds(shape, {"cpu": cost})


def test_short_packs_and_short_steps_get_the_floor_doubled_at_each_try() -> None:
    pack, speeds = pack_of(4.0, count=4)
    for tries in range(4):
        patience = patience_with(pack, "cpu", speeds, LEAST, tries)
        assert (patience.seconds, patience.step_seconds) == (LEAST * 2**tries, LEAST * 2**tries)


def test_a_large_pack_of_short_steps_is_given_up_as_soon_as_a_small_one() -> None:
    pack, speeds = pack_of(60.0, count=60)
    patience = patience_with(pack, "cpu", speeds, LEAST, 0)
    assert patience.seconds == pytest.approx(20 * 60, rel=0.01)
    assert patience.step_seconds == LEAST


def test_a_step_that_takes_long_may_take_twenty_times_as_long() -> None:
    pack, speeds = pack_of(200.0)
    assert patience_with(pack, "cpu", speeds, 1.0, 0).step_seconds == pytest.approx(20 * 200 / (STEPS + 1), rel=0.01)
    pack, speeds = pack_of(400.0, count=2)
    assert patience_with(pack, "cpu", speeds, 1.0, 2).step_seconds == pytest.approx(
        4 * 20 * 400 / (STEPS + 1), rel=0.01
    )


def test_patience_is_the_floor_for_short_packs_and_a_multiple_of_what_long_ones_take() -> None:
    pack, speeds = pack_of(2000.0, count=20)
    assert patience_with(pack, "cpu", speeds, LEAST, 0).seconds == pytest.approx(20 * 2000, rel=0.01)
    assert patience_with(pack, "cpu", speeds, LEAST, 2).seconds == pytest.approx(80 * 2000, rel=0.01)
    quick, speeds = pack_of(1e-6, count=20)
    assert patience_with(quick, "cpu", speeds, LEAST, 0).seconds == LEAST


def test_where_the_speed_was_never_measured_the_patience_is_ten_times_as_long() -> None:
    pack, _ = pack_of(1.0)
    unmeasured = Speeds(declare().data.shape(), {})
    expected = unmeasured.pack_seconds(pack, "cpu")
    assert patience_with(pack, "cpu", unmeasured, 0.0, 0).seconds == pytest.approx(200 * expected)
