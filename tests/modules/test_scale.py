"""`gradstab.scale_`: what a study calls weight_scale, in one's own code."""

from __future__ import annotations

import pytest
import torch

import gradstab
from gradstab.errors import UsageError
from tests.modules import networks
from tests.modules.kit import member, program, recipe


def test_it_does_what_weight_scale_does():
    given = recipe(depth=3, width=8).model_copy(
        update={"arguments": {"depth": 3, "width": 8}, "given": ("depth", "width")}
    )
    own = member(program(networks.chain), given).module
    scaled = member(program(networks.chain), given.model_copy(update={"weight_scale": 1.7})).module
    assert gradstab.scale_(own, 1.7, "layers.*") is own
    for (name, one), (_, other) in zip(own.named_parameters(), scaled.named_parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize(
    ("factor", "names", "sentence"),
    [
        (0.0, "layers.*", "factor must be a positive number, got 0.0"),
        (float("nan"), "layers.*", "factor must be a positive number, got nan"),
        (2.0, "blocks.*", r"names must match modules with weights, got 'blocks\.\*'; the modules are layers"),
        (2.0, [], "names must match modules with weights"),
    ],
)
def test_what_scales_nothing_is_refused(factor, names, sentence):
    with pytest.raises(UsageError, match=sentence):
        gradstab.scale_(networks.chain(3, 8), factor, names)
