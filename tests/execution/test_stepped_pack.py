"""A pack that runs in steps: what it counts, and when it ends early."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import pytest

from gradstab.execution.stepped_pack import SteppedPack
from gradstab.loop.ports import Slot, Step
from gradstab.loop.trial import Trial
from gradstab.record.trajectory import Trajectory
from gradstab.study.recipe import Recipe
from tests.fakes_work import PlantedWork

SLOT = Slot("cpu-0")
PACK = [Trial(number, {}, Recipe(depth=2, steps=2), number) for number in range(2)]


@dataclass(frozen=True)
class TwoStacks:
    """Two stacks of one trial; the first is the larger part of the work. A step takes `seconds`."""

    seconds: float = 0.0
    short: bool = False  # without the second trajectory

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        raise AssertionError("it runs in steps")

    def run_in_steps(self, trials: Sequence[Trial], slot: Slot) -> Generator[Step, None, None]:
        first, second = PlantedWork().run(trials, slot)
        for done in (0.0, 0.2, 0.4, 0.6):
            yield Step(done, until=0.8)
            time.sleep(self.seconds)
        yield Step(0.8, ended={0: first})
        time.sleep(self.seconds)
        yield Step(0.9)
        if not self.short:
            yield Step(1.0, ended={1: second})


def run_to_the_end(pack: SteppedPack) -> None:
    while pack.advance():
        pass


def test_it_goes_step_by_step_to_the_end() -> None:
    pack = SteppedPack(TwoStacks(), PACK, SLOT)
    assert not pack.has_begun
    seen = []
    while pack.advance():
        seen.append(pack.done)
    assert seen == [0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0]
    assert sorted(pack.outcomes) == [0, 1]


def test_a_work_in_one_piece_is_one_step() -> None:
    pack = SteppedPack(PlantedWork(), PACK, SLOT)
    assert [pack.advance(), pack.done, pack.advance()] == [True, 1.0, False]
    assert sorted(pack.outcomes) == [0, 1]


def test_a_work_that_forgets_a_trial_has_failed_and_gives_nothing_back() -> None:
    pack = SteppedPack(TwoStacks(short=True), PACK, SLOT)
    with pytest.raises(RuntimeError, match="one trajectory a trial, got 1 for 2 trials"):
        run_to_the_end(pack)


def test_a_stack_that_would_end_too_late_is_given_up_at_once_and_one_that_ends_in_time_is_not() -> None:
    pack = SteppedPack(TwoStacks(seconds=0.05), PACK, SLOT)
    for _ in range(3):
        pack.advance()
    pack.finish_within(600.0)
    assert pack.advance(), "two more steps are no matter of minutes"
    pack.finish_within(0.01)
    assert not pack.advance(), "a step takes longer than that"
    assert pack.outcomes == {}


def test_what_was_complete_when_the_time_was_over_is_kept() -> None:
    pack = SteppedPack(TwoStacks(seconds=0.05), PACK, SLOT)
    while not pack.outcomes:
        pack.advance()
    pack.finish_within(0.0)
    assert not pack.advance()
    assert not pack.advance(), "it stays ended"
    assert list(pack.outcomes) == [0]


def test_a_pack_that_has_not_begun_in_time_never_does() -> None:
    pack = SteppedPack(TwoStacks(), PACK, SLOT)
    pack.finish_within(0.0)
    assert not pack.advance()
    assert pack.outcomes == {}
