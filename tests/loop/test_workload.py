"""When a study will have ended: planned runs whose end is known, with trials that differ in cost."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from gradstab.loop.cost_model import CostModel
from gradstab.loop.ports import PackResult, Slot
from gradstab.loop.speeds import Speeds
from gradstab.loop.stacks import nominal_ends, stacks_in_order
from gradstab.loop.trial import Trial
from gradstab.loop.workload import Workload
from gradstab.record.failure import Failure, FailureKind
from gradstab.study.pack_key import DataShape
from gradstab.study.recipe import Recipe
from tests.loop.planted_costs import learned_cost

SHAPE = DataShape(1000, 64, 10)
SLOTS = (Slot("a"), Slot("b"))
TICK = 0.5


def trials_of(depths: Sequence[int], activations: Sequence[str] = ("relu",)) -> list[Trial]:
    return [
        Trial(number, {}, Recipe(depth=depth, steps=50, activation=activations[number % len(activations)]), number)
        for number, depth in enumerate(depths)
    ]


class PlannedRun:
    """Two slots that train packs at a known rate, after a time in which they load things."""

    def __init__(self, trials: list[Trial], size: int, *, unasked: int = 0, idle_at_first: float = 0.0) -> None:
        speeds = Speeds(SHAPE, {"cpu": CostModel()})
        self.workload, self.speeds = Workload(speeds), speeds
        self._waiting, self._size, self._unasked = list(trials), size, unasked
        self._now, self._begun = 0.0, idle_at_first
        self._packs: dict[str, tuple[list[Trial], float]] = {}

    def run(self, each_tick: Callable[[float], None] = lambda _: None) -> list[tuple[float, float | None, float]]:
        """The forecasts; each (seconds since the begin, forecast, seconds that it took from there)."""
        seen: list[tuple[float, float | None]] = []
        while self._waiting or self._packs:
            each_tick(self._now)
            self._submit()
            self._go_on()
            self.workload.follow(self._shares(), self._now)
            queued = self._waiting[: len(self._waiting) - self._unasked] if self._unasked else self._waiting
            forecast = self.workload.forecast(queued, len(self._waiting) - len(queued), 0)
            seen.append((self._now, forecast.seconds_left))
            self._now += TICK
        return [(at, left, self._now - at) for at, left in seen]

    def _submit(self) -> None:
        for slot in SLOTS:
            if slot.name not in self._packs and self._waiting:
                pack, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
                self._unasked = min(self._unasked, len(self._waiting))
                self.workload.start(slot, pack)
                self._packs[slot.name] = (pack, 0.0)

    def _go_on(self) -> None:
        for slot in SLOTS if self._now >= self._begun else ():
            if slot.name in self._packs:
                pack, seconds = self._packs[slot.name]
                self._packs[slot.name] = (pack, seconds + TICK)
                if seconds + TICK >= seconds_of(pack):
                    self.workload.end(PackResult(tuple(pack), slot, 0, 1, outcomes=[]))
                    del self._packs[slot.name]

    def _shares(self) -> dict[str, float]:
        return {slot: told_share(pack, seconds) for slot, (pack, seconds) in self._packs.items()}


def seconds_of(pack: Sequence[Trial]) -> float:
    return 30 * CostModel().pack_seconds([trial.recipe for trial in pack], SHAPE)


def told_share(pack: list[Trial], seconds: float) -> float:
    """What a worker tells: stacks in order, each at an even pace, weighed by layers."""
    recipes = [trial.recipe for trial in pack]
    stacks, start = stacks_in_order(recipes), 0.0
    for members, end in zip(stacks, nominal_ends(recipes, stacks), strict=True):
        needed = seconds_of([pack[index] for index in members])
        if seconds < needed:
            return start + (end - start) * seconds / needed
        seconds, start = seconds - needed, end
    return 1.0


def worst_after_a_tenth(forecasts: list[tuple[float, float | None, float]]) -> float:
    total = forecasts[0][2]
    errors = [1.0 if left is None else abs(left / true - 1) for at, left, true in forecasts if 0.1 < at / total < 0.7]
    assert len(errors) > 20
    return max(errors)


@pytest.mark.parametrize("unasked", [0, 250])
@pytest.mark.parametrize("idle_at_first", [0.0, 4.0])
def test_the_end_is_known_to_a_fifth_after_a_tenth_of_a_study_of_equal_parts(
    unasked: int, idle_at_first: float
) -> None:
    rng = random.Random(4)
    trials = trials_of([rng.randint(2, 32) for _ in range(400)], ["relu", "tanh", "gelu"])
    planned = PlannedRun(trials, size=40, unasked=unasked, idle_at_first=idle_at_first)
    assert worst_after_a_tenth(planned.run()) < 0.2


def test_deep_trials_that_come_last_are_counted_as_long_as_the_queue_has_them() -> None:
    trials = trials_of([2] * 200 + [32] * 200)
    assert worst_after_a_tenth(PlannedRun(trials, size=20).run()) < 0.2


def test_what_the_model_learns_of_the_speed_does_not_bend_the_forecast() -> None:
    rng = random.Random(4)
    planned = PlannedRun(trials_of([rng.randint(2, 32) for _ in range(400)]), size=20)

    def learn(now: float) -> None:
        if 10.0 < now < 11.0:
            planned.speeds.costs["cpu"] = learned_cost(Recipe(depth=9, steps=50), 7.0, 7.0, shape=SHAPE)

    assert worst_after_a_tenth(planned.run(learn)) < 0.2


def test_stacks_that_cost_more_than_their_layers_are_weighed_by_the_cost_model() -> None:
    """A dear activation first: half of the layers, and most of the seconds."""
    trials = trials_of([9, 8] * 20, ["gelu", "relu"])
    gelu, relu = (seconds_of(trials[first::2]) for first in (0, 1))
    workload = Workload(Speeds(SHAPE, {"cpu": CostModel()}))
    workload.start(SLOTS[0], trials)
    end_of_gelu = 10 / 19
    workload.follow({"a": end_of_gelu}, 10.0)
    assert workload.trials_underway() / 40 == pytest.approx(gelu / (gelu + relu))
    assert gelu / (gelu + relu) > end_of_gelu + 0.05
    assert workload.forecast([], 0, 0).share == pytest.approx(gelu / (gelu + relu))


def test_a_lost_pack_and_trials_that_were_given_back_are_not_done() -> None:
    trials = trials_of([4] * 20)
    workload = Workload(Speeds(SHAPE, {"cpu": CostModel()}))
    workload.start(SLOTS[0], trials[:10])
    workload.follow({"a": 0.9}, 1.0)
    assert workload.forecast(trials[10:], 0, 0).share == pytest.approx(0.45)
    workload.end(PackResult(tuple(trials[:10]), SLOTS[0], 0, 1, failure=Failure(FailureKind.WORKER_LOST)))
    workload.follow({}, 2.0)
    assert workload.forecast(trials, 0, 0).share == 0.0
    workload.start(SLOTS[0], trials[:10])
    workload.end(PackResult(tuple(trials[:5]), SLOTS[0], 0, 1, outcomes=[], given_back=tuple(trials[5:10])))
    assert workload.forecast(trials[5:], 0, 0).share == pytest.approx(0.25)


def test_trials_of_earlier_runs_count_as_the_others_do() -> None:
    workload = Workload(Speeds(SHAPE, {"cpu": CostModel()}))
    assert workload.forecast([], 30, 10).share == 0.25
    workload.start(SLOTS[0], trials_of([4] * 10))
    workload.follow({"a": 0.5}, 1.0)
    assert workload.forecast([], 10, 20).share == pytest.approx(25 / 40)
