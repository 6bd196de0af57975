"""The probe of a person's own module: equal to the pack's figures and to a loop over samples; refusals in a sentence."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from gradstab import probe
from gradstab.errors import UsageError
from gradstab.stability.judgement import layer_rate, phase_of
from gradstab.study.data_spec import Digits
from gradstab.study.recipe import Recipe
from gradstab.study.responses.library.gradient_ratio import gradient_ratio
from gradstab.training.data import Dataset, load_dataset
from gradstab.training.initialisation import hidden_biases, hidden_weights, readout_weights
from gradstab.training.trainer import train

MODULES = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset(Digits(), study_seed=5)


def as_module(recipe: Recipe, seed: int, data: Dataset) -> nn.Sequential:
    """The network that a trial draws, as anybody would write it."""
    weights = [*hidden_weights(recipe, seed, data.shape.num_features), readout_weights(recipe, seed, data.num_classes)]
    biases = [*hidden_biases(recipe, seed), np.zeros(data.num_classes)]
    parts: list[nn.Module] = []
    for weight_IO, bias_O in zip(weights, biases, strict=True):
        linear = nn.Linear(*weight_IO.shape)
        linear.weight.data = torch.tensor(weight_IO.T)
        linear.bias.data = torch.tensor(bias_O, dtype=torch.float32)
        parts += [linear, MODULES[recipe.activation]()]
    return nn.Sequential(*parts[:-1])


@pytest.mark.parametrize(
    ("activation", "depth", "init_scale"), [("tanh", 6, 1.8), ("relu", 30, 1.0), ("gelu", 5, 2.0), ("sigmoid", 70, 1.0)]
)
def test_equal_to_the_packs_figures(activation, depth, init_scale, digits):
    """To 1e-6, from a float32 module whose gradients float32 could not hold at 70 sigmoid layers."""
    recipe = Recipe(
        depth=depth,
        width=40,
        activation=activation,
        init_scale=init_scale,
        bias_scale=0.1,
        steps=0,
        precision="float64",
    )
    with torch.inference_mode():
        (trajectory,) = train([recipe], [3], digits)
    rows = digits.probe_rows(recipe.probe_samples)
    module = as_module(recipe, 3, digits)
    found = probe(module, torch.tensor(digits.x_ND[rows]), torch.tensor(digits.y_N[rows]), functional.cross_entropy)
    profile_L = trajectory["log10_delta_norm"][0]
    np.testing.assert_allclose(found.log10_delta_norm_L, profile_L, atol=1e-6)
    assert (found.gradient_ratio, found.flag) == pytest.approx(gradient_ratio(profile_L), abs=1e-6)
    assert found.rate == pytest.approx(layer_rate(profile_L, last_half=True)[0], abs=1e-6)
    assert found.phase == phase_of(gradient_ratio(profile_L)[0], 1.0)
    assert found.loss == pytest.approx(float(trajectory["probe_loss"][0]), abs=1e-6)
    assert found.layers == tuple(str(2 * layer) for layer in range(depth))
    assert found.phase in str(found)


class Residual(nn.Module):
    """Convolutions, a residual branch, normalisation within samples, activations in place, one layer used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.shared = nn.Linear(3 * 16, 3 * 16)
        self.norm = nn.LayerNorm(3 * 16)
        self.relu = nn.ReLU(inplace=True)
        self.readout = nn.Linear(3 * 16, 4)
        self.seen: list[torch.Tensor] = []

    def forward(self, x):
        self.seen = [self.conv(x)]
        a = self.relu(self.seen[0] + 0).flatten(1)
        for _ in range(2):
            self.seen.append(self.shared(a))
            a = a + self.relu(self.norm(self.seen[-1] + 0))
        return self.readout(a)


def test_equal_to_a_loop_over_samples():
    torch.manual_seed(0)
    module = Residual()
    x, y = torch.randn(7, 1, 4, 4), torch.randint(0, 4, (7,))
    squares = np.zeros(3)
    twin = copy.deepcopy(module).double()
    for sample in range(7):
        loss = functional.cross_entropy(twin(x[sample : sample + 1].double()), y[sample : sample + 1])
        deltas = torch.autograd.grad(loss, twin.seen)
        squares += [float((delta**2).sum()) for delta in deltas]
    for loss_of in (functional.cross_entropy, nn.CrossEntropyLoss(reduction="sum")):
        found = probe(module, x, y, loss_of)
        assert found.layers == ("conv", "shared", "shared")
        np.testing.assert_allclose(found.log10_delta_norm_L, 0.5 * np.log10(squares / 7), atol=1e-9)


def test_an_activation_in_place_does_not_disturb_the_reading():
    torch.manual_seed(0)
    apart = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    in_place = nn.Sequential(*[nn.ReLU(inplace=True) if isinstance(part, nn.ReLU) else part for part in apart])
    x, y = torch.randn(9, 5), torch.randint(0, 3, (9,))
    first, second = (probe(module, x, y, functional.cross_entropy) for module in (apart, in_place))
    np.testing.assert_array_equal(first.log10_delta_norm_L, second.log10_delta_norm_L)


def test_the_module_stays_as_it_is():
    module = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3)).eval()
    module[0].weight.requires_grad_(False)
    before = copy.deepcopy(module.state_dict())
    probe(module, torch.randn(9, 5), torch.randint(0, 3, (9,)), functional.cross_entropy)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert not module[0].weight.requires_grad
    assert not module.training


class Mixing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, x):
        a = torch.tanh(self.first(x))
        return self.last(a - a.mean(0))


@pytest.mark.parametrize(
    ("module", "loss", "sentence"),
    [
        (nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)), None, "1 (BatchNorm1d) normalises"),
        (nn.Sequential(nn.Linear(5, 8), nn.Dropout(), nn.Linear(8, 3)), None, "call module.eval() to stop dropout"),
        (Mixing(), None, "samples must not mix"),
        (nn.Linear(5, 3), None, "at least one hidden layer before its readout"),
        (nn.Sequential(nn.Tanh()), None, "at least one hidden layer"),
        (
            nn.Sequential(nn.Linear(5, 8), nn.Linear(8, 3)),
            lambda out, y: (out.mean(0) ** 2).sum() + 0 * y.sum(),
            "must be the mean or the sum",
        ),
        (nn.Sequential(nn.Linear(5, 8), nn.Linear(8, 3)), lambda out, y: out - 0 * y[:, None], "one number"),
        (nn.Sequential(nn.Linear(5, 8), nn.Linear(8, 3), nn.Flatten(0)), None, "one row a sample"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(module, loss, sentence):
    torch.manual_seed(0)
    with pytest.raises(UsageError) as refused:
        probe(module, torch.randn(9, 5), torch.randint(0, 3, (9,)), loss or functional.cross_entropy)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_figure_is_a_picture(tmp_path):
    module = nn.Sequential(*[part for _ in range(30) for part in (nn.Linear(6, 6), nn.Sigmoid())], nn.Linear(6, 3))
    found = probe(module, torch.randn(9, 6), torch.randint(0, 3, (9,)), functional.cross_entropy)
    assert found.phase == "vanishing"
    found.figure(tmp_path / "mine.png")
    assert (tmp_path / "mine.png").read_bytes().startswith(b"\x89PNG")
