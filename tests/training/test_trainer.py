"""What equals what: a member's numbers do not depend on its pack; members that diverge disturb nobody."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradstab.activations.registry import LIBRARY
from gradstab.record.statistics.registry import STATISTICS
from gradstab.record.trajectory import Trajectory
from gradstab.study.data_spec import DataError
from gradstab.study.recipe import Recipe, probe_steps
from gradstab.training.layout import FlatLayout, Section
from gradstab.training.log import StackLog
from gradstab.training.network import Network
from gradstab.training.trainer import train


def assert_same_bits(found: Trajectory, expected: Trajectory) -> None:
    assert found.nonfinite_step == expected.nonfinite_step
    for statistic in STATISTICS.values():
        assert found[statistic.name].tobytes() == expected[statistic.name].tobytes(), statistic.name


def _mixture(width: int, count: int, **fields: Any) -> list[Recipe]:
    """Recipes that differ in everything that may differ in a pack; some of them diverge."""
    rng = np.random.default_rng(width)
    common: dict[str, Any] = {
        "width": width,
        "steps": 12,
        "batch_size": 33,
        "probe_every": 5,
        "probe_samples": 70,
        **fields,
    }
    return [
        Recipe(
            depth=int(rng.integers(1, 13)),
            activation=LIBRARY[index % len(LIBRARY)] if index % 2 else "relu",
            init_scale=float(rng.choice([0.6, 1.5, 4.0])),
            bias_scale=float(rng.choice([0.0, 0.1])),
            learning_rate=float(rng.choice([0.01, 0.1, 2.0])),
            momentum=float(rng.choice([0.0, 0.0, 0.9])),
            clip=bool(rng.integers(2)),
            clip_threshold=float(rng.choice([0.1, 10.0])),
            **common,
        )
        for index in range(count)
    ]


@pytest.mark.parametrize("data_name", ["digits", "odd_data"])
@pytest.mark.parametrize("width", [64, 100, 37])
def test_packs_of_1_7_and_32_are_bit_equal(width, data_name, request):
    data = request.getfixturevalue(data_name)
    recipes, seeds = _mixture(width, 32), list(range(100, 132))
    whole = train(recipes, seeds, data)
    assert sum(trajectory.nonfinite_step is not None for trajectory in whole) >= 3
    sevens = [index for start in range(0, 28, 7) for index in range(start, start + 7)]
    parts = [train(recipes[start : start + 7], seeds[start : start + 7], data) for start in range(0, 28, 7)]
    for index, found in zip(sevens, [one for part in parts for one in part], strict=True):
        assert_same_bits(found, whole[index])
    for index in range(0, 32, 3):
        assert_same_bits(train([recipes[index]], [seeds[index]], data)[0], whole[index])


@pytest.mark.parametrize(
    "fields",
    [
        {"optimizer": "adam"},
        {"optimizer": "adamw", "weight_decay": 0.01},
        {"optimizer": "rmsprop"},
        {"clip_mode": "value"},
        {"steps": 0},
        {"batch_size": 1},
        {"width": 1},
    ],
)
def test_a_pack_of_one_is_bit_equal_whatever_the_settings(fields, odd_data):
    recipes, seeds = _mixture(**{"width": 37, "count": 9, **fields}), list(range(9))
    order = [4, 8, 1, 0, 6, 2, 7, 3, 5]
    shuffled = train([recipes[i] for i in order], [seeds[i] for i in order], odd_data)
    for place, index in enumerate(order):
        assert_same_bits(shuffled[place], train([recipes[index]], [seeds[index]], odd_data)[0])


def test_a_diverging_member_stops_and_the_others_keep_their_bits(digits):
    common = {"width": 64, "activation": "relu", "steps": 30, "probe_every": 10}
    calm = [Recipe(depth=depth, init_scale=1.4, learning_rate=0.05, **common) for depth in (3, 6, 9)]
    wild = [Recipe(depth=depth, init_scale=1.6, learning_rate=1e4, **common) for depth in (4, 6, 12)]
    together = train([wild[0], calm[0], wild[1], calm[1], calm[2], wild[2]], [1, 2, 3, 4, 5, 6], digits)
    for found, expected in zip([together[i] for i in (1, 3, 4)], train(calm, [2, 4, 5], digits), strict=True):
        assert found.nonfinite_step is None
        assert_same_bits(found, expected)
    for trajectory in (together[0], together[2], together[5]):
        stop = trajectory.nonfinite_step
        assert stop is not None
        assert 0 < stop < 20
        assert np.isfinite(trajectory["loss"][:stop]).all()
        assert not np.isfinite(trajectory["grad_norm"][stop] + trajectory["loss"][stop])
        assert np.isnan(trajectory["loss"][stop + 1 :]).all()
        later = trajectory.probe_step_P > stop
        assert np.isnan(trajectory["log10_delta_norm"][later]).all()
        assert np.isnan(trajectory["accuracy"][later]).all()


@pytest.mark.parametrize("poison", [torch.nan, torch.inf])
def test_poisoned_parameters_stop_their_member_alone(poison, digits):
    class Poisoned(Network):
        def loss_and_gradient(self, rows_nB):
            self.passes = getattr(self, "passes", 0) + 1
            if self.passes == 4:  # after the first and second look at step 0 and 1, in the middle of step 3
                self.value[self.layout.starts[1]] = poison  # member 0's second layer
            return super().loss_and_gradient(rows_nB)

    recipes = [Recipe(depth=4, steps=12, probe_every=50) for _ in range(3)]
    found = train(recipes, [1, 2, 3], digits, family=Poisoned)
    clean = train(recipes, [1, 2, 3], digits)
    assert [trajectory.nonfinite_step for trajectory in found] == [3, None, None]
    assert_same_bits(found[1], clean[1])
    assert_same_bits(found[2], clean[2])
    assert found[0]["loss"][:3].tobytes() == clean[0]["loss"][:3].tobytes()


def test_a_parameter_that_breaks_in_the_last_update_is_noticed(digits):
    recipe = Recipe(depth=2, activation="linear", steps=3, learning_rate=1e38, probe_every=50)
    trajectory = train([recipe.model_copy(update={"steps": 1, "learning_rate": 1e39})], [1], digits)[0]
    assert np.isfinite(trajectory["loss"]).all()
    assert trajectory.nonfinite_step == 1


def test_probes_are_read_when_the_recipe_says(digits):
    recipe = Recipe(depth=2, steps=25, probe_every=10)
    trajectory = train([recipe], [1], digits)[0]
    assert trajectory.probe_step_P.tolist() == probe_steps(recipe) == [0, 10, 20, 25]
    assert trajectory["probe_loss"][1] == trajectory["loss"][10]  # a scheduled probe reads the step's own batch
    assert trajectory["probe_loss"][0] != trajectory["loss"][0]  # the first one the fixed rows
    assert np.isfinite(trajectory["log10_update_ratio"][:3]).all()
    assert np.isnan(trajectory["log10_update_ratio"][3]).all()


def test_accuracy_is_read_as_often_as_asked_and_changes_nothing_else(digits):
    recipe = Recipe(depth=2, steps=25, probe_every=5)
    every, some = (train([each], [1], digits)[0] for each in (recipe, recipe.at({"accuracy_every": 10})))
    read_P = np.isin(some.probe_step_P, [0, 10, 20, 25])
    assert np.isfinite(every["accuracy"]).all()
    assert np.array_equal(some["accuracy"], np.where(read_P, every["accuracy"], np.nan), equal_nan=True)
    for statistic in STATISTICS.values():
        if statistic.name != "accuracy":
            assert some[statistic.name].tobytes() == every[statistic.name].tobytes()


def test_steps_0_reads_one_probe_and_trains_nothing(digits):
    trajectory = train([Recipe(depth=3, steps=0)], [1], digits)[0]
    assert trajectory["loss"].shape == (0,)
    assert trajectory["log10_delta_norm"].shape == (1, 3)
    assert np.isfinite(trajectory["log10_delta_norm"]).all()
    assert np.isnan(trajectory["log10_update_ratio"]).all()


def test_recipes_of_different_keys_are_refused(digits):
    with pytest.raises(ValueError, match="agree in every structural field"):
        train([Recipe(width=8), Recipe(width=9)], [1, 2], digits)


def test_a_probe_larger_than_the_data_is_refused(odd_data):
    with pytest.raises(DataError, match="probe_samples must be at most the number of training rows"):
        train([Recipe(probe_samples=151)], [1], odd_data)


def test_another_family_goes_through_the_same_loop(digits):
    """A quadratic bowl without layers of its own: the loop asks nothing of networks beyond the Family port."""

    class Bowl:
        def __init__(self, recipes, seeds, data, device):
            self.layout = FlatLayout(len(recipes), (Section(len(recipes), 32),))
            self.num_layers = 1
            self.depths = [1] * len(recipes)
            self.taps: tuple[str, ...] = ()
            self.value = torch.ones(self.layout.length, device=device)
            self.grad = torch.zeros_like(self.value)

        def by_layer(self, norm_sn):
            return norm_sn

        def loss_and_gradient(self, rows_nB: NDArray[np.int64]) -> Tensor:
            self.grad.copy_(self.value)
            return 0.5 * self.layout.section(self.value, 0).double().square().sum(1)

        def probe(self, rows_nB):
            return self.loss_and_gradient(rows_nB), {}

        def accuracy(self, rows):
            return torch.ones(self.layout.members, dtype=torch.float64)

        def grad_norms(self):
            return self.layout.section(self.grad, 0).double().norm(dim=1)

        def keep(self, members):
            raise AssertionError("nobody diverges")

    recipes = [Recipe(depth=1, steps=5, learning_rate=rate) for rate in (0.1, 0.5)]
    for recipe, trajectory in zip(recipes, train(recipes, [1, 2], digits, family=Bowl), strict=True):
        shrink = (1 - recipe.learning_rate) ** (2 * np.arange(5))
        np.testing.assert_allclose(trajectory["loss"], 16 * shrink, rtol=1e-5)
        assert trajectory["log10_update_ratio"][0, 0] == pytest.approx(np.log10(recipe.learning_rate), abs=1e-6)


def test_a_member_that_stops_keeps_what_its_last_step_measured_and_nothing_after():
    log = StackLog([Recipe(depth=1, steps=3)] * 2, [1, 1], torch.device("cpu"))
    for loss, norm in (([1.0, 1.0], [2.0, 2.0]), ([1.5, 1.5], [torch.inf, 3.0]), ([4.0, 4.0], [5.0, 5.0])):
        log.step(*(torch.tensor(each, dtype=torch.float64) for each in (loss, norm, [1.0, 1.0])))
    log.finish(torch.tensor([True, True]))
    stopped, sound = log.trajectories(SimpleNamespace(reference_loss=1.0, target_loss=None), ())
    assert (stopped.nonfinite_step, sound.nonfinite_step) == (1, None)
    np.testing.assert_array_equal(stopped["loss"], [1.0, 1.5, np.nan])
    np.testing.assert_array_equal(stopped["grad_norm"], [2.0, np.inf, np.nan])
    np.testing.assert_array_equal(sound["loss"], [1.0, 1.5, 4.0])
