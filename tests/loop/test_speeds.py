"""Speed by kind of slot: what one kind shows says nothing of the other."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from gradstab.loop.cost_model import CostModel
from gradstab.loop.pack_size import USUAL, PackTime, pack_length
from gradstab.loop.ports import Kind, PackResult, Slot
from gradstab.loop.speeds import Speeds
from gradstab.loop.trial import Trial
from gradstab.record.failure import Failure, FailureKind
from gradstab.study.recipe import Recipe
from gradstab.study.study import Study
from tests.fakes_work import PlantedWork
from tests.loop.planted_costs import cost_taking
from tests.loop.test_runner import declare

RECIPE = Recipe(depth=4, steps=20)


def shape_of(study: Study):
    return study.data.shape()


def pack_result(slot: Slot, seconds: float, busy_seconds: float | None = None) -> PackResult:
    trials = tuple(Trial(number, {}, RECIPE, number) for number in range(4))
    trajectories = PlantedWork().run(trials, slot)
    return PackResult(trials, slot, 0, int(1000 * seconds), trajectories, busy_seconds=busy_seconds)


def pack_of_four(speeds: Speeds, kind: Kind) -> float:
    return speeds.pack_seconds([Trial(number, {}, RECIPE, number) for number in range(4)], kind)


def test_each_kind_learns_from_its_own_packs_and_not_from_a_worker_s_first():
    shape = shape_of(declare())
    speeds = Speeds(shape, {})
    cpu, gpu = Slot("cpu-0"), Slot("cuda-0", "cuda")
    speeds.learn(pack_result(cpu, 8.0))
    assert not speeds.of("cpu").measured
    speeds.learn(pack_result(gpu, 8.0))
    speeds.learn(pack_result(gpu, 0.5))
    assert not speeds.of("cpu").measured
    assert pack_of_four(speeds, "cuda") == pytest.approx(0.5, rel=0.01)
    speeds.learn(pack_result(cpu, 2.0))
    assert pack_of_four(speeds, "cpu") == pytest.approx(2.0, rel=0.01)
    assert pack_of_four(speeds, "cuda") == pytest.approx(0.5, rel=0.01)


def test_a_neighbour_s_load_teaches_no_speed_and_makes_no_pack_smaller():
    """Packs that take five times their CPU time, as beside four busy processes on each core."""
    shape = shape_of(declare())
    quiet, busy = Speeds(shape, {}), Speeds(shape, {})
    slot = Slot("cpu-0")
    for _ in range(20):
        quiet.learn(pack_result(slot, 2.0, 2.0))
        busy.learn(pack_result(slot, 10.0, 2.0))
    recipes = [RECIPE] * 500
    sizes = [pack_length(recipes, shape, speeds.of("cpu"), USUAL, math.inf)[0] for speeds in (quiet, busy)]
    assert sizes[0] == sizes[1] > 1


def test_a_pack_that_waits_and_does_not_compute_is_taken_to_be_long_all_the_same():
    speeds, slot = Speeds(shape_of(declare()), {}), Slot("cpu-0")
    for _ in range(2):
        speeds.learn(pack_result(slot, 8.0, 0.001))
    assert pack_of_four(speeds, "cpu") == pytest.approx(1.0, rel=0.01)


def test_a_lost_worker_s_next_pack_is_a_first_again():
    speeds = Speeds(shape_of(declare()), {})
    slot = Slot("cpu-0")
    speeds.learn(pack_result(slot, 1.0))
    speeds.learn(replace(pack_result(slot, 1.0), outcomes=None, failure=Failure(FailureKind.WORKER_LOST)))
    speeds.learn(pack_result(slot, 1.0))
    assert not speeds.of("cpu").measured


def test_memory_that_ran_out_halves_new_packs_of_that_kind_and_the_parts_of_one_pack_do_not():
    shape = shape_of(declare())
    speeds, slot = Speeds(shape, {}), Slot("cuda-0", "cuda")

    def most(kind: Kind) -> int:
        return pack_length([RECIPE] * 64, shape, speeds.of(kind), PackTime(math.inf, math.inf), 2**40)[0]

    def runs_out(numbers: range) -> None:
        trials = tuple(Trial(number, {}, RECIPE, number) for number in numbers)
        speeds.learn(PackResult(trials, slot, 0, 1, failure=Failure(FailureKind.OUT_OF_MEMORY, "CUDA out of memory")))

    runs_out(range(64))
    assert (most("cuda"), most("cpu")) == (32, 64)
    for part in (range(32), range(16), range(1), range(1)):
        runs_out(part)
    assert most("cuda") == 32
    runs_out(range(100, 132))
    assert most("cuda") == 16
    speeds.learn(
        PackResult((Trial(200, {}, RECIPE, 0),), slot, 0, 1, failure=Failure(FailureKind.WORKER_LOST, "it died"))
    )
    assert most("cuda") == 16


def test_slots_of_unequal_speed_finish_together_when_each_does_its_share():
    shape = shape_of(declare())
    costs: dict[Kind, CostModel] = {"cpu": cost_taking(0.2, RECIPE, shape), "cuda": cost_taking(0.02, RECIPE, shape)}
    speeds, trials = Speeds(shape, costs), [Trial(0, {}, RECIPE, 0)] * 3
    cpu, gpu = Slot("cpu-0"), Slot("cuda-0", "cuda")
    assert speeds.seconds_for(trials, 100, []) == pytest.approx(20, rel=0.02)
    assert speeds.seconds_for(trials, 100, [cpu, cpu]) == pytest.approx(10, rel=0.02)
    assert speeds.seconds_for(trials, 110, [cpu, cpu, gpu, gpu]) == pytest.approx(1, rel=0.02)  # 5 + 5 + 50 + 50 trials
