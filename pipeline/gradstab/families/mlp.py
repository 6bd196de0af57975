"""The fully connected stack that gradstab's own studies train, written as a module."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from gradstab.families.parts.activation_functions import FUNCTIONS, Activation
from gradstab.families.parts.initial_weights import scaled_linear

TRACED = ("init_scale", "bias_scale")


class Stack(nn.Module):
    """z^1 = W x + b, z^l = W phi(z^(l-1)) + b, and a linear readout of phi(z^L)."""

    def __init__(
        self, sizes: list[int], classes: int, activation: Activation, init_scale: float, bias_scale: float
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(scaled_linear(*pair, init_scale, bias_scale) for pair in pairwise(sizes))
        self.readout = scaled_linear(sizes[-1], classes)
        self.activation = FUNCTIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """(B, features) to (B, classes)."""
        for layer in self.layers:
            x = self.activation(layer(x))
        logits: Tensor = self.readout(x)
        return logits


def build(
    *,
    depth: int = 8,
    width: int = 64,
    activation: Activation = "tanh",
    init_scale: float = 1.0,
    bias_scale: float = 0.0,
    features: int = 64,
    classes: int = 10,
) -> nn.Module:
    """A fresh fully connected network.

    Args:
        depth: hidden layers L.
        width: units in a hidden layer.
        activation: nonlinearity of the hidden layers, one of gradstab's library.
        init_scale: sigma_w, the standard deviation of a hidden weight times sqrt(fan_in).
        bias_scale: sigma_b, the standard deviation of a hidden bias.
        features: numbers in an input row.
        classes: outputs. Readout weights have the variance 1/width, whatever init_scale is.
    """
    return Stack([features, *[width] * depth], classes, activation, init_scale, bias_scale)


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each sample in nats, (B,); targets are class numbers, (B,)."""
    return functional.cross_entropy(outputs, targets, reduction="none")
