"""A plain stack of convolutions without skip connections (Xiao et al. 2018).

Its lengths and gradients follow the maps of the fully connected stack, so its critical scales are the same ones.
Convolutions are circular, as they are in that theory.
"""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from gradstab.families.parts.activation_functions import FUNCTIONS, Activation
from gradstab.families.parts.initial_weights import fill_orthogonal, scaled_linear

TRACED = ("init_scale", "bias_scale")


class Stack(nn.Module):
    """z^l = conv(phi(norm(z^(l-1)))), the mean of phi(norm(z^L)) over the image, and a linear readout."""

    def __init__(
        self, layers: list[nn.Conv2d], norms: list[nn.Module], activation: Activation, readout: nn.Linear
    ) -> None:
        super().__init__()
        self.layers, self.norms = nn.ModuleList(layers), nn.ModuleList(norms)
        self.activation, self.readout = FUNCTIONS[activation], readout

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, height, width of the image) to (B, classes)."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = self.activation(norm(layer(x)))
        logits: Tensor = self.readout(x.mean((-1, -2)))
        return logits


def build(
    *,
    depth: int = 8,
    width: int = 16,
    activation: Activation = "tanh",
    norm: Literal["none", "layer", "batch"] = "none",
    weight_init: Literal["normal", "delta-orthogonal"] = "normal",
    init_scale: float = 1.0,
    bias_scale: float = 0.0,
    kernel: int = 3,
    channels: int = 1,
    classes: int = 10,
) -> nn.Module:
    """A fresh convolutional network.

    Args:
        depth: convolutions L.
        width: channels of a hidden image.
        activation: nonlinearity of the hidden layers.
        norm: layer normalisation over an image, batch normalisation (of the batch at hand), or none.
        weight_init: normal, or delta-orthogonal: zero but for an orthogonal matrix in the middle of the kernel.
        init_scale: sigma_w, the standard deviation of a weight times sqrt(fan_in); delta-orthogonal: the factor of
            the orthogonal matrix.
        bias_scale: sigma_b, the standard deviation of a bias.
        kernel: side of the square kernel, odd.
        channels: of an input image.
        classes: outputs.
    """
    sizes = [channels, *[width] * depth]
    layers = [
        nn.Conv2d(sizes[place], width, kernel, padding=kernel // 2, padding_mode="circular") for place in range(depth)
    ]
    for layer in layers:
        if weight_init == "normal":
            nn.init.normal_(layer.weight, std=init_scale / math.sqrt(layer.in_channels * kernel**2))
        else:
            nn.init.zeros_(layer.weight)
            fill_orthogonal(layer.weight[:, :, kernel // 2, kernel // 2], init_scale)
        assert layer.bias is not None
        nn.init.normal_(layer.bias, std=bias_scale)
    norms = [_normalisation(norm, width) for _ in range(depth)]
    return Stack(layers, norms, activation, scaled_linear(width, classes))


def _normalisation(norm: str, width: int) -> nn.Module:
    if norm == "layer":
        return nn.GroupNorm(1, width)
    return nn.BatchNorm2d(width, track_running_stats=False) if norm == "batch" else nn.Identity()


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each sample in nats, (B,); targets are class numbers, (B,)."""
    return functional.cross_entropy(outputs, targets, reduction="none")
