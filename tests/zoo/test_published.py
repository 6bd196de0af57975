"""The probe against the slow twin on models that people use. Run by `make zoo`."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from gradstab import probe
from gradstab.errors import UsageError
from gradstab.stability.judgement import phase_of
from tests.zoo import published_timm, published_torchvision, published_transformers
from tests.zoo.published import Published, truth

pytestmark = [pytest.mark.zoo, pytest.mark.filterwarnings("ignore")]  # the libraries warn of each other


def equal_to_the_twin(case: Published) -> None:
    torch.manual_seed(0)
    module = case.build()
    inputs, targets = case.data()
    if case.refused:
        with pytest.raises(UsageError, match=case.refused):
            probe(module, inputs, targets, case.loss)
        return
    found = probe(module, inputs, targets, case.loss)
    assert found.series[0].axis == case.axis
    assert found.layers == case.places
    assert any("draws random numbers" in note for note in found.notes) == case.draws
    expected_L = truth(case, module, inputs, targets)
    np.testing.assert_allclose(found.log10_delta_norm_L, expected_L, rtol=0, atol=case.tolerance)
    assert found.phase == phase_of(expected_L[0] - expected_L[-1], found.ratio_band)
    assert found.verdict in {found.phase, "undecided"}


@pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is in the extra zoo")
@pytest.mark.parametrize("case", published_torchvision.CASES, ids=lambda case: case.name)
def test_torchvision(case):
    equal_to_the_twin(case)


@pytest.mark.skipif(find_spec("timm") is None, reason="timm is in the extra zoo")
@pytest.mark.parametrize("case", published_timm.CASES, ids=lambda case: case.name)
def test_timm(case):
    equal_to_the_twin(case)


@pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is in the extra zoo")
@pytest.mark.parametrize("case", published_transformers.CASES, ids=lambda case: case.name)
def test_transformers(case):
    equal_to_the_twin(case)
