"""`gradstab.scale_`: what a study calls weight_scale, in one's own code."""

from __future__ import annotations

import pytest
import torch
from torch import nn

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


def test_weights_of_normalisations_stay_also_where_they_have_the_shape_of_an_image():
    module = nn.Sequential(nn.Conv2d(2, 2, 1), nn.LayerNorm([2, 4, 4]), nn.RMSNorm([4, 4]), nn.GroupNorm(1, 2))
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    gradstab.scale_(module, 3.0, "**")
    changed = [name for name, value in module.named_parameters() if not torch.equal(value, before[name])]
    assert changed == ["0.weight"]


@pytest.mark.parametrize(
    "wrap", [lambda one: torch.compile(one, backend="eager"), nn.DataParallel], ids=["compiled", "parallel"]
)
def test_wrapped_modules_are_scaled_by_the_names_of_the_module_inside(wrap):
    inner = networks.chain(3, 8)
    before = [value.detach().clone() for value in inner.parameters()]
    wrapped = wrap(inner)
    assert gradstab.scale_(wrapped, 2.0, "layers.*") is wrapped
    doubled = [
        torch.equal(value, 2 * old) for value, old in zip(inner.parameters(), before, strict=True) if value.ndim > 1
    ]
    assert doubled == [True, True, True, False]


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
