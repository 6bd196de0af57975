"""What every family promises: plain arguments, weights from torch's generator alone, one loss a sample, packs by vmap."""

from __future__ import annotations

import inspect
import math
import random
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
from torch.func import functional_call, stack_module_state, vmap

from gradstab import families
from gradstab.activations.registry import LIBRARY, as_function
from gradstab.errors import UsageError
from gradstab.families.parts.activation_functions import FUNCTIONS
from gradstab.families.parts.initial_weights import fill_orthogonal, scaled_linear
from gradstab.families.registry import FAMILIES
from tests.families.cases import CASES, Case

ONE_OF_EACH = [Case(name) for name in FAMILIES]


@pytest.mark.parametrize("case", ONE_OF_EACH, ids=str)
def test_arguments_are_keywords_of_plain_types_with_defaults(case):
    parameters = inspect.signature(case.module.build).parameters
    types = get_type_hints(case.module.build)
    for name, parameter in parameters.items():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, name
        assert get_origin(types[name]) is Literal or types[name] in (int, float, str, bool), name
        choices = get_args(types[name])
        assert parameter.default in choices if choices else type(parameter.default) is types[name], name
        assert f"{name}:" in (case.module.build.__doc__ or ""), f"{name} is not described"
    assert all(types[name] is float for name in case.module.TRACED)
    assert set(case.module.TRACED) == {name for name, kind in types.items() if kind is float}


def test_every_family_has_a_file_and_every_file_is_known():
    folder = Path(next(iter(families.__path__)))
    builders = {path.stem for path in folder.glob("*.py") if "\ndef build(" in path.read_text()}
    assert builders == set(FAMILIES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_weights_follow_from_torchs_generator_and_from_nothing_else(case):
    before = random.getstate(), np.random.get_state()
    first, again, other = case.build(1), case.build(1), case.build(2)
    after = random.getstate(), np.random.get_state()
    assert before[0] == after[0]
    np.testing.assert_equal(before[1], after[1])
    for (name, one), two, three in zip(first.named_parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two), name
        if one.ndim > 1 and bool(one.any()):
            assert not torch.equal(one, three), f"{name} must come from torch's global generator"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_loss_is_one_number_a_sample(case):
    module, (inputs, targets) = case.build(0), case.batch()
    losses = case.module.loss(module(inputs), targets)
    assert losses.shape == (len(inputs),)
    assert torch.isfinite(losses).all()
    if not case.mixes:
        alone = case.module.loss(module(inputs[3:4]), targets[3:4])
        torch.testing.assert_close(losses[3:4], alone)


def test_a_recurrent_network_takes_real_targets():
    module = Case("rnn", {"classes": 1, "features": 2}).build(0)
    draws = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(4, 9, 2, generator=draws), torch.randn(4, generator=draws)
    outputs = module(inputs)
    expected = (outputs[:, 0] - targets) ** 2
    loss = Case("rnn").module.loss
    torch.testing.assert_close(loss(outputs, targets), expected)
    torch.testing.assert_close(loss(outputs, targets[:, None]), expected)


def test_a_decoder_looks_at_no_later_token():
    module, (tokens, _) = Case("transformer").build(0), Case("transformer").batch()
    changed = tokens.clone()
    changed[:, 7] = (changed[:, 7] + 1) % 256
    before, after = module(tokens), module(changed)
    torch.testing.assert_close(before[:, :7], after[:, :7])
    assert all(bool((before[:, place] != after[:, place]).any()) for place in range(7, tokens.shape[1]))


def test_heads_must_divide_the_width():
    with pytest.raises(UsageError, match="heads must divide width, got 3 heads for width 64"):
        Case("transformer").build(0, heads=3)


def test_sequences_must_fit_into_the_context():
    module, (tokens, _) = Case("transformer").build(0, context=12), Case("transformer").batch()
    with pytest.raises(UsageError, match="at most context=12 tokens long, got 20: raise context"):
        module(tokens)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_two_members_train_in_one_pack_by_vmap(case):
    """Losses and gradients of a pack are those of its members, whose traced arguments differ."""
    traced = {name: 0.25 + 0.5 * case.settings.get(name, 1.0) for name in case.module.TRACED}
    members = [case.build(0).double(), case.build(1, **traced).double()]
    batches = [case.batch(0), case.batch(1)]
    inputs, targets = (torch.stack(parts) for parts in zip(*batches, strict=True))
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    parameters, buffers = stack_module_state(members)

    def mean_loss(parameters, buffers, inputs, targets):
        outputs = functional_call(members[0], (parameters, buffers), (inputs,))
        return case.module.loss(outputs, targets).mean()

    packed = vmap(mean_loss)(parameters, buffers, inputs, targets)
    packed_gradients = torch.autograd.grad(packed.sum(), list(parameters.values()))
    for place, member in enumerate(members):
        alone = case.module.loss(member(inputs[place]), targets[place]).mean()
        torch.testing.assert_close(packed[place], alone, rtol=0, atol=1e-10)
        gradients = torch.autograd.grad(alone, list(member.parameters()))
        for name, whole, own in zip(parameters, packed_gradients, gradients, strict=True):
            torch.testing.assert_close(whole[place], own, rtol=1e-9, atol=1e-10, msg=name)


@pytest.mark.parametrize("name", LIBRARY)
def test_activations_are_those_of_the_library(name):
    u = torch.linspace(-6, 6, 400, dtype=torch.float64, requires_grad=True)  # an even number: not the kink at 0
    value = FUNCTIONS[name](u)
    (slope,) = torch.autograd.grad(value.sum(), u)
    expected, at = as_function(name), u.detach().numpy()
    np.testing.assert_allclose(value.detach().numpy(), expected.phi(at), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(slope.numpy(), expected.derivative(at), rtol=1e-10, atol=1e-12)


def test_there_is_a_function_for_every_activation_of_the_library():
    assert tuple(FUNCTIONS) == LIBRARY


@pytest.mark.parametrize(("fan_in", "fan_out"), [(40, 40), (20, 60), (60, 20)])
def test_weights_have_the_scale_asked_for(fan_in, fan_out):
    torch.manual_seed(0)
    layer = scaled_linear(fan_in, 4000, scale=1.7, bias_scale=0.3).requires_grad_(False)
    assert float(layer.weight.std()) * math.sqrt(fan_in) == pytest.approx(1.7, rel=0.02)
    assert float(layer.bias.std()) == pytest.approx(0.3, rel=0.05)
    weight_OI = torch.empty(fan_out, fan_in, dtype=torch.float64)
    fill_orthogonal(weight_OI, 1.7)
    assert float(weight_OI.square().mean().sqrt()) * math.sqrt(fan_in) == pytest.approx(1.7)
    product = weight_OI.T @ weight_OI if fan_out >= fan_in else weight_OI @ weight_OI.T
    torch.testing.assert_close(product, product[0, 0] * torch.eye(len(product), dtype=torch.float64))


def test_branches_start_as_they_are_told():
    last = {}
    for init in ("usual", "depth-scaled", "zero"):
        settings = {"init_scale": 1.5, "branch_init": init}
        stack = Case("residual", {"depth": 9, "width": 128, **settings}).build(0).requires_grad_(False)
        decoder = Case("transformer", {"depth": 8, "width": 64, **settings}).build(0).requires_grad_(False)
        last[init] = [
            float(stack.get_parameter("blocks.4.outer.weight").std()) * math.sqrt(128),
            float(decoder.get_parameter("blocks.4.attention.outward.weight").std()) * math.sqrt(64),
            float(decoder.get_parameter("blocks.4.mlp.2.weight").std()) * math.sqrt(256),
        ]
    assert last["usual"] == pytest.approx([1.5, 1.5, 1.5], rel=0.04)
    assert last["depth-scaled"] == pytest.approx([1.5 / 3, 1.5 / 4, 1.5 / 4], rel=0.04)
    assert last["zero"] == [0, 0, 0]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_forget_bias_is_that_of_the_gate_that_keeps_the_state(cell):
    """A cell whose recurrent weights are zero writes nothing; with its gate open it keeps the state as it is."""
    module = Case("rnn", {"cell": cell, "forget_bias": 40.0, "width": 8}).build(0)
    bias, inside = module.get_parameter("inward.bias").detach(), module.get_submodule("cell")
    assert float(bias.abs().sum()) == 8 * 40
    state = tuple(torch.randn(5, 8) for _ in range(2 if cell == "lstm" else 1))
    with torch.no_grad():
        module.get_parameter("cell.recurrent.weight").zero_()
        torch.testing.assert_close(inside(bias.expand(5, -1), state)[-1], state[-1])
        assert float((inside(0 * bias.expand(5, -1), state)[-1] - state[-1]).abs().max()) > 0.1


def test_delta_orthogonal_kernels_keep_lengths():
    module = Case("conv", {"weight_init": "delta-orthogonal", "activation": "linear", "width": 32}).build(0)
    image = torch.randn(3, 32, 8, 8, dtype=torch.float64)
    through = module.double().get_submodule("layers.4")(image)
    torch.testing.assert_close(through.flatten(1).norm(dim=1), image.flatten(1).norm(dim=1), rtol=1e-5, atol=0)
