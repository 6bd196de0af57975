"""The cost of modules before a run: the dry run's, unless packs of the same modules were measured."""

from __future__ import annotations

import pytest

from gradstab.loop.cost_model import CostModel
from gradstab.record.dry_run import DryRun, TriedModule
from gradstab.session.own_network import costs_with
from gradstab.study.axes import LogInteger
from gradstab.study.model_spec import Model
from gradstab.study.module_recipe import module_recipe
from gradstab.study.study import Study

STUDY = Study(
    name="own", question="?", model=Model("residual"), space={"depth": LogInteger(2, 8)}, budget={"trials": 20}
)
POINTS = ({"depth": 2}, {"depth": 8}, {"depth": 4})


def found(*seconds: float) -> DryRun:
    tried = tuple(
        TriedModule(point, dict(point), 100, ("blocks.0",), "blocks", 0.0, 0.0, 0.0, one, 0)
        for point, one in zip(POINTS, seconds, strict=True)
    )
    return DryRun("digest", 2.3, "given", "", (100, 64, 10), tried)


def seconds_of(model: CostModel, depth: int) -> float:
    return model.pack_seconds([module_recipe(STUDY, {"depth": depth})], STUDY.data.shape())


def test_a_dry_run_says_what_a_training_costs():
    model = costs_with({}, STUDY, found(1.0, 3.0, 1.6))["cpu"]
    for depth, seconds in ((2, 1.0), (8, 3.0), (4, 1.6)):
        assert 0.4 < seconds_of(model, depth) / seconds < 2.5


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_what_a_file_of_the_same_name_taught_gives_way_to_it(factor):
    before = costs_with({}, STUDY, found(factor * 1.0, factor * 3.0, factor * 1.6))
    model = costs_with(before, STUDY, found(1.0, 3.0, 1.6))["cpu"]
    for depth, seconds in ((2, 1.0), (8, 3.0), (4, 1.6)):
        assert 0.4 < seconds_of(model, depth) / seconds < 2.5


def test_what_packs_of_the_same_modules_taught_stays():
    before = costs_with({}, STUDY, found(1.0, 3.0, 1.6))
    for depth in (2, 4, 8):
        recipe = module_recipe(STUDY, {"depth": depth})
        before["cpu"] = before["cpu"].learned([recipe] * 10, STUDY.data.shape(), 10 * seconds_of(before["cpu"], depth))
    assert costs_with(before, STUDY, found(1.1, 3.2, 1.7)) == before
