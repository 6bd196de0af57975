"""The probe against the slow twin on every model of the zoo."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

from gradstab import probe
from tests.zoo.cases import CASES, B, Case
from tests.zoo.twin import Profile, hooked_profile


@contextmanager
def float64_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


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
