"""What training costs: operations counted by hand, and the memory model against what the process really takes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gradstab.loop.packing import MODULE_STACK_BYTES, flops, member_bytes, pack_bytes
from gradstab.study.module_recipe import ModuleRecipe
from gradstab.study.pack_key import DataShape
from gradstab.study.recipe import Recipe

SHAPE = DataShape(num_rows=1797, num_features=64, num_classes=10)
RECIPE = Recipe(depth=10)

MEASURE = """
import torch; torch.set_num_threads(1)
from gradstab.study.data_spec import Digits
from gradstab.loop.packing import pack_bytes
from gradstab.study.recipe import Recipe
from gradstab.training.data import load_dataset
from gradstab.training.trainer import train
data = load_dataset(Digits(), 0)
train([Recipe(width=16, depth=2, steps=2)], [0], data)  # what the first use of torch takes once
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
recipes = [Recipe(**{settings}, depth=1 + i % 29, steps=4, init_scale=1.4) for i in range({members})]
before = peak()
train(recipes, range(len(recipes)), data)
print(peak() - before, pack_bytes(recipes, data.shape))
"""


@pytest.mark.parametrize(
    ("settings", "members"),
    [
        ({"width": 64, "activation": "tanh"}, 64),
        ({"width": 32, "activation": "gelu", "optimizer": "adam"}, 128),
        ({"width": 256, "activation": "relu", "optimizer": "rmsprop", "momentum": 0.9}, 16),
        ({"width": 128, "activation": "sigmoid", "momentum": 0.9, "batch_size": 128}, 32),
    ],
)
def test_memory_model_is_within_a_fifth_of_what_is_taken(settings, members):
    code = MEASURE.format(settings=settings, members=members)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    measured, modelled = map(int, done.stdout.split())
    assert modelled == pytest.approx(measured, rel=0.2)


def test_members_of_different_activations_take_turns():
    same = pack_bytes([RECIPE.at({"activation": "tanh"})] * 20, SHAPE)
    mixed = pack_bytes([RECIPE.at({"activation": name}) for name in ("tanh", "relu")] * 10, SHAPE)
    assert mixed < same


def test_flops_of_a_small_case_counted_by_hand():
    recipe = Recipe(depth=2, width=16, batch_size=16, steps=3, probe_every=10, probe_samples=64)
    shape = DataShape(num_rows=100, num_features=64, num_classes=10)
    multiplies = 64 * 16 + 16 * 16 + 16 * 16
    rows = 3 * 16 * 3 + 3 * 64 * 2 + 512 * 2
    assert flops(recipe, shape) == 2 * multiplies * rows
    often, seldom = recipe.at({"probe_every": 1}), recipe.at({"probe_every": 1, "accuracy_every": 2})
    assert flops(often, shape) - flops(seldom, shape) == 2 * multiplies * 512  # at steps 0 1 2 3 and at 0 2 3


@pytest.mark.parametrize(("width", "members"), [(16, 8), (256, 1000), (4096, 3)])
def test_modules_that_are_computed_at_once_take_a_bounded_share_of_memory(width, members):
    """They go in stacks that fill this share, or one after another where one alone is larger."""
    module = ModuleRecipe(build="m:build", arguments={}, given=(), width=width, depth=8, steps=1)
    own = member_bytes(module, SHAPE)
    results = pack_bytes([module], SHAPE) - own  # and what does not grow with the pack
    taken = pack_bytes([module] * members, SHAPE)
    assert taken <= max(own, min(members * own, MODULE_STACK_BYTES)) + members * results
    assert taken > max(own, min(members * own, MODULE_STACK_BYTES))
