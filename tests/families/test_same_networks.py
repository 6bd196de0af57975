"""The families against what they repeat: the stacks that gradstab's own studies train, and theory of convolutions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from gradstab.families import mlp
from gradstab.module_probe import probe
from gradstab.study.data_spec import Digits
from gradstab.study.recipe import Recipe
from gradstab.theory.critical_scales import predicted_ratio
from gradstab.training.data import load_dataset
from gradstab.training.initialisation import hidden_biases, hidden_weights, readout_weights
from gradstab.training.trainer import train
from tests.families.cases import Case


@pytest.mark.usefixtures("trains_here")
@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu", "sigmoid"])
def test_the_module_has_the_gradients_of_the_stack_with_the_same_weights(activation):
    recipe = Recipe(
        depth=6, width=48, activation=activation, init_scale=1.4, bias_scale=0.2, steps=0, precision="float64"
    )
    data = load_dataset(Digits(), study_seed=3)
    (trajectory,) = train([recipe], [7], data)
    stack = mlp.build(depth=6, width=48, activation=activation)
    with torch.no_grad():
        drawn = zip(hidden_weights(recipe, 7, 64), hidden_biases(recipe, 7), strict=True)
        for place, (weight_IO, bias) in enumerate(drawn):
            stack.get_parameter(f"layers.{place}.weight").copy_(torch.from_numpy(weight_IO.T))
            stack.get_parameter(f"layers.{place}.bias").copy_(torch.from_numpy(bias))
        stack.get_parameter("readout.weight").copy_(torch.from_numpy(readout_weights(recipe, 7, 10).T))
    rows = data.probe_rows(recipe.probe_samples)
    found = probe(stack, torch.from_numpy(data.x_ND[rows]), torch.from_numpy(data.y_N[rows]), mlp.loss)
    expected_L = trajectory["log10_delta_norm"][0]
    np.testing.assert_allclose(found.log10_delta_norm_L, expected_L, atol=1e-10)


@pytest.mark.parametrize("weight_init", ["normal", "delta-orthogonal"])
@pytest.mark.parametrize("init_scale", [0.9, 1.6])
def test_wide_convolutions_follow_the_theory_of_the_fully_connected_stack(weight_init, init_scale):
    """Xiao et al. 2018: the same chi_1. Pixels are 1 or -1, since a delta-orthogonal kernel keeps the length of each.

    The errors are 4 standard errors of 4 seeds and .02 decades for finite width.
    """
    case = Case("conv", {"depth": 8, "width": 96, "weight_init": weight_init, "init_scale": init_scale})
    found = []
    for seed in range(4):
        inputs, targets = case.batch(seed)
        found.append(probe(case.build(seed), inputs.sign(), targets, case.module.loss).gradient_ratio)
    error = 4 * float(np.std(found, ddof=1)) / math.sqrt(len(found)) + 0.02
    assert np.mean(found) == pytest.approx(predicted_ratio("tanh", init_scale, 0.0, 8), abs=error)
    assert error < 0.15


@pytest.mark.parametrize(
    ("cell", "kind", "order"),
    [("vanilla", nn.RNN, [0]), ("lstm", nn.LSTM, [0, 1, 3, 2]), ("gru", nn.GRU, [0, 1, 2])],
)
def test_cells_are_those_of_torch(cell, kind, order):
    """torch has an LSTM's gates in another order."""
    case = Case("rnn", {"cell": cell, "width": 12})
    module, (inputs, _) = case.build(0).double(), case.batch()
    layer = kind(8, 12, batch_first=True).double()
    with torch.no_grad():
        for ours, theirs in (
            ("inward.weight", layer.weight_ih_l0),
            ("inward.bias", layer.bias_ih_l0),
            ("cell.recurrent.weight", layer.weight_hh_l0),
        ):
            gates = module.get_parameter(ours).chunk(len(order))
            theirs.copy_(torch.cat([gates[place] for place in order]))
        layer.bias_hh_l0.zero_()
        hidden_BTH, _ = layer(inputs.double())
        expected = module.get_submodule("readout")(hidden_BTH[:, -1])
        torch.testing.assert_close(module(inputs.double()), expected, rtol=1e-10, atol=1e-12)
