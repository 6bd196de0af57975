"""The probe against the slow twin on every model of the zoo."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from gradstab import probe
from tests.zoo import peculiar
from tests.zoo.cases import CASES, B, Case
from tests.zoo.twin import Profile, float64_by_default, hooked_profile, profile_of


def truth(case: Case, module: nn.Module, inputs, targets) -> Profile:
    twin = case.twin(module) if case.twin else module
    twin = copy.deepcopy(twin).double()
    given = inputs if isinstance(inputs, tuple | dict) else (inputs,)
    wide = [
        part.double() if isinstance(part, torch.Tensor) and part.is_floating_point() else part
        for part in (given.values() if isinstance(given, dict) else given)
    ]
    arguments = dict(zip(given, wide, strict=True)) if isinstance(given, dict) else tuple(wide)
    with float64_by_default():
        return hooked_profile(
            twin, arguments, lambda out, b: case.sample_loss(out, targets, b), B, case.places, inputs=case.inputs
        )


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method", "ignore:enable_nested_tensor")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_equal_to_the_twin(case):
    torch.manual_seed(3)
    module = case.build()
    inputs, targets = case.data()
    found = probe(module, inputs, targets, case.loss)
    expected_L = truth(case, module, inputs, targets)
    assert found.series[0].axis == case.axis
    assert len(found.layers) == len(expected_L)
    np.testing.assert_allclose(found.log10_delta_norm_L, expected_L, rtol=0, atol=case.tolerance)


def test_a_position_of_two_tensors():
    """Coupling layers hand on values and the sum of their determinants' logarithms, which the loss reads as well."""
    torch.manual_seed(3)
    module, x = peculiar.Invertible(), torch.randn(B, 6)
    found = probe(module, x, None, lambda out, _: (0.5 * out[0].square().sum(1) - out[1]).mean())
    twin = copy.deepcopy(module).double()
    positions, state = [], (x.double(), torch.zeros(B, dtype=torch.float64))
    for layer in twin.layers:
        state = layer(*state)
        positions.append(state)
        state = (state[0].clone(), state[1].clone())
    expected_L = profile_of(state, positions, lambda out, b: 0.5 * out[0][b].square().sum() - out[1][b], B)
    assert found.layers == tuple(f"layers.{index}" for index in range(4))
    np.testing.assert_allclose(found.log10_delta_norm_L, expected_L, rtol=0, atol=1e-10)
