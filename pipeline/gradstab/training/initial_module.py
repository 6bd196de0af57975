"""The network with which a trial began, as a module for the user's own training loop.

Shapes: I fan-in, O fan-out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradstab.activations.activation import Activation
from gradstab.activations.registry import find_activation, passes_of
from gradstab.study.recipe import Recipe
from gradstab.training.initialisation import hidden_biases, hidden_weights, readout_weights

_OF_TORCH: dict[str, Callable[[], nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


def fully_connected(recipe: Recipe, seed: int, num_features: int, num_classes: int) -> nn.Sequential:
    """The fully connected network of a recipe and a trial's seed: layers and activations in turn, then the readout."""
    parts: list[nn.Module] = []
    biases = hidden_biases(recipe, seed)
    for weight_IO, bias_O in zip(hidden_weights(recipe, seed, num_features), biases, strict=True):
        parts += [_linear(weight_IO, bias_O), _activation(recipe.activation)]
    readout_IO = readout_weights(recipe, seed, num_classes)
    return nn.Sequential(*parts, _linear(readout_IO, np.zeros(num_classes, dtype=np.float32)))


class Elementwise(nn.Module):
    """An activation that torch.nn does not have: the function and the derivative with which the study trained."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, z: Tensor) -> Tensor:
        """phi of every entry."""
        value: Tensor = _Apply.apply(z, find_activation(self.name))  # type: ignore[no-untyped-call]
        return value

    def extra_repr(self) -> str:
        """The name of the activation."""
        return self.name


class _Apply(torch.autograd.Function):
    """phi with the derivative that the passes of an activation have."""

    @staticmethod
    def forward(context: Any, z: Tensor, activation: Activation) -> Tensor:
        value, passes = torch.empty_like(z), passes_of(activation)
        passes.apply(z.clone(), value)
        context.passes = passes
        context.save_for_backward(z if activation.keeps_z else value)
        return value

    @staticmethod
    def backward(context: Any, *outer: Tensor) -> tuple[Tensor, None]:
        (kept,) = context.saved_tensors
        delta = outer[0].clone()
        context.passes.backward(delta, kept)
        return delta, None


def _activation(name: str) -> nn.Module:
    return _OF_TORCH[name]() if name in _OF_TORCH else Elementwise(name)


def _linear(weight_IO: NDArray[np.float32], bias_O: NDArray[np.float32]) -> nn.Linear:
    layer = nn.Linear(*weight_IO.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight_IO.T.copy()))
        layer.bias.copy_(torch.from_numpy(bias_O))
    return layer
