"""torch.optim, step for step."""

import pytest
import torch
from torch import Tensor

from gradstab.study.recipe import Recipe
from gradstab.training.layout import FlatLayout, Section
from gradstab.training.optimizers import OPTIMIZERS
from tests.reference import make_optimizer

LAYOUT = FlatLayout(3, (Section(3, 64), Section(3, 64), Section(2, 32), Section(1, 32)))
SETTINGS = [
    ("sgd", {}),
    ("sgd", {"momentum": 0.9}),
    ("sgd", {"weight_decay": 0.1}),
    ("sgd", {"momentum": 0.5, "weight_decay": 0.1}),
    ("adam", {}),
    ("adam", {"weight_decay": 0.1}),
    ("adamw", {}),
    ("adamw", {"weight_decay": 0.1}),
    ("rmsprop", {}),
    ("rmsprop", {"momentum": 0.9, "weight_decay": 0.1}),
]


def _pieces(flat: Tensor, member: int) -> list[Tensor]:
    return [LAYOUT.section(flat, i)[member] for i, s in enumerate(LAYOUT.sections) if member < s.members]


@pytest.mark.parametrize("clipped", [False, True])
@pytest.mark.parametrize(("name", "fields"), SETTINGS)
def test_equals_torch_optim_step_for_step(name, fields, clipped):
    recipes = [Recipe(depth=1, optimizer=name, learning_rate=rate, **fields) for rate in (0.1, 0.01, 0.003)]
    source = torch.Generator().manual_seed(0)
    value = torch.randn(LAYOUT.length, generator=source, dtype=torch.float64)
    twins = [[piece.clone().requires_grad_(True) for piece in _pieces(value, m)] for m in range(3)]
    torch_optimizers = [make_optimizer(recipe, twin) for recipe, twin in zip(recipes, twins, strict=True)]
    optimizer = OPTIMIZERS[name](recipes, LAYOUT, value)
    factor_n = torch.tensor([0.3, 1.0, 1e-25], dtype=torch.float64) if clipped else None
    for _ in range(12):
        grad = torch.randn(LAYOUT.length, generator=source, dtype=torch.float64)
        before = value.clone()
        for member, (twin, torch_optimizer) in enumerate(zip(twins, torch_optimizers, strict=True)):
            for parameter, piece in zip(twin, _pieces(grad, member), strict=True):
                parameter.grad = piece.clone() * (factor_n[member] if factor_n is not None else 1.0)
            torch_optimizer.step()
        direction, rate_n = optimizer.update(value, grad, factor_n)
        for member, twin in enumerate(twins):
            found, start = _pieces(value, member), _pieces(before, member)
            moves = zip(found, twin, start, _pieces(direction, member), strict=True)
            for piece, parameter, old, downhill in moves:
                torch.testing.assert_close(piece, parameter.detach(), rtol=1e-11, atol=1e-13)
                torch.testing.assert_close(old - rate_n[member] * downhill, piece, rtol=1e-11, atol=1e-13)


def test_kept_members_go_on_with_their_own_state():
    fields = {"optimizer": "rmsprop", "momentum": 0.9}
    recipes = [Recipe(learning_rate=rate, **fields) for rate in (0.1, 0.01, 0.003)]
    whole, value = OPTIMIZERS["rmsprop"](recipes, LAYOUT, torch.ones(LAYOUT.length)), torch.ones(LAYOUT.length)
    part, kept_layout = OPTIMIZERS["rmsprop"](recipes, LAYOUT, torch.ones(LAYOUT.length)), LAYOUT.keep([1, 2])
    part_value = torch.ones(LAYOUT.length)
    for step in range(4):
        grad = torch.randn(LAYOUT.length, generator=torch.Generator().manual_seed(step))
        if step == 2:
            part.keep([1, 2])
            part_value = LAYOUT.kept(part_value, [1, 2])
        whole.update(value, grad.clone(), None)
        part.update(part_value, LAYOUT.kept(grad, [1, 2]) if step >= 2 else grad.clone(), None)
    assert len(kept_layout.sections) == 3
    assert torch.equal(part_value, LAYOUT.kept(value, [1, 2]))


def test_a_tiny_clip_factor_does_not_zero_a_huge_gradient():
    """lr x factor is 1e-40: zero as a float32, yet the step is 0.01."""
    recipe = Recipe(learning_rate=0.1, clip=True)
    layout = FlatLayout(1, (Section(1, 32),))
    value, grad = torch.zeros(32), torch.full((32,), 1e38)
    OPTIMIZERS["sgd"]([recipe], layout, value).update(value, grad, torch.tensor([1e-39], dtype=torch.float64))
    torch.testing.assert_close(value, torch.full((32,), -0.01))
