"""What activations do to a module's numbers, by the definitions that the built-in family has."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from gradstab.activations.registry import find_activation
from gradstab.probing.activated import Activated, Activations
from gradstab.probing.events import edge_of
from gradstab.probing.graph import vertex_of

FUNCTIONS = {
    "elu": functional.elu, "erf": torch.erf, "gelu": functional.gelu, "leaky_relu": functional.leaky_relu,
    "relu": torch.relu, "selu": nn.SELU(), "sigmoid": torch.sigmoid, "silu": nn.SiLU(inplace=True),
    "softplus": functional.softplus, "tanh": Tensor.tanh,
}  # fmt: skip


def watched(function, z: Tensor) -> Activated:
    with Activations() as seen:
        taken = z * 1.0
        place = vertex_of(edge_of(taken))
        returned = vertex_of(edge_of(function(taken)))
    found: Activated = seen.found[place]
    assert found == seen.found[returned]
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_saturated_as_in_the_built_in_family(name):
    z = torch.linspace(-40, 40, 8000, dtype=torch.float64).view(80, 100)
    activation = find_activation(name)
    passes = activation.passes()
    a = z.clone()
    passes.apply(z, a)
    marks = torch.empty_like(z)
    passes.mark_saturated(z if activation.keeps_z else a, marks)
    found = watched(FUNCTIONS[name], z.requires_grad_())
    assert found.saturated == pytest.approx(float(marks.mean()), abs=2 / 8000)
    assert found.dead == pytest.approx(float((a == 0).all(0).double().mean()))


def test_a_dead_unit_is_zero_on_every_sample():
    z = torch.tensor([[-1.0, 2.0, -1.0], [-3.0, -2.0, 5.0]], requires_grad=True)
    found = watched(functional.relu, z)
    assert found == Activated(dead=1 / 3, saturated=4 / 6)


def test_numbers_without_a_gradient_are_passed_on():
    with Activations() as seen:
        assert float(torch.relu(torch.tensor(-1.0))) == 0.0
        assert torch.tanh(input=torch.zeros(2)).tolist() == [0.0, 0.0]
    assert not seen.found


def test_a_checkpoint_does_not_count_what_is_saved_here():
    z = torch.randn(3, 4, requires_grad=True)
    with Activations():
        value = checkpoint(lambda given: torch.tanh(given * 2), z, use_reentrant=False).sum()
    (gradient,) = torch.autograd.grad(value, z)
    assert math.isfinite(float(gradient.sum()))
