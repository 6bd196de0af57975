"""Every tensor is placed on the device that was asked for: what a machine without a GPU can say about its path."""

import pytest
import torch

from gradstab.record.statistics.registry import STATISTICS
from gradstab.study.recipe import Recipe
from gradstab.training.trainer import train


@pytest.mark.parametrize(("optimizer", "clip_mode"), [("sgd", "norm"), ("adam", "value"), ("rmsprop", "norm")])
def test_no_tensor_of_a_training_falls_on_the_default_device(optimizer, clip_mode, odd_data):
    """The default device is one whose tensors hold nothing: whatever is not placed explicitly breaks or changes bits."""
    common = {"optimizer": optimizer, "clip_mode": clip_mode, "width": 20, "steps": 18, "probe_every": 4}
    calm = [Recipe(depth=depth, activation="sigmoid", init_scale=0.3, clip=True, **common) for depth in (4, 30)]
    wild = [Recipe(depth=depth, activation="linear", learning_rate=1e30, **common) for depth in (2, 5, 6)]
    recipes, seeds = [*calm, Recipe(depth=3, activation="gelu", momentum=0.5, **common), *wild], range(6)
    expected = train(recipes, seeds, odd_data)
    assert sum(trajectory.nonfinite_step is not None for trajectory in expected) == len(wild)
    with torch.device("meta"):
        found = train(recipes, seeds, odd_data, torch.device("cpu"))
    for one, other in zip(found, expected, strict=True):
        for statistic in STATISTICS.values():
            assert one[statistic.name].tobytes() == other[statistic.name].tobytes()
