"""A residual stack: two matrices in each branch, and nothing but the addition on the skip connection.

Without normalisation it is the full residual network of Yang & Schoenholz 2017. With normalisation before the branch
it is the block of a pre-norm transformer without attention; with normalisation after the addition, that of a post-norm
one.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from gradstab.families.parts.activation_functions import FUNCTIONS, Activation
from gradstab.families.parts.initial_weights import scaled_linear

TRACED = ("init_scale", "residual_scale")


class Block(nn.Module):
    """pre: x + s V phi(W norm(x)); post: norm(x + s V phi(W x))."""

    residual_scale: Tensor

    def __init__(
        self, inner: nn.Linear, outer: nn.Linear, norm: nn.Module, activation: Activation, scale: float
    ) -> None:
        super().__init__()
        self.inner, self.outer, self.norm = inner, outer, norm
        self.activation = FUNCTIONS[activation]
        self.register_buffer("residual_scale", torch.tensor(scale))  # a buffer may differ between members of a pack

    def branch(self, x: Tensor) -> Tensor:
        """s V phi(W x)."""
        branch: Tensor = self.outer(self.activation(self.inner(x)))
        return self.residual_scale * branch

    def forward(self, x: Tensor) -> Tensor:
        """(B, width) to (B, width)."""
        return x + self.branch(self.norm(x))


class PostNormBlock(Block):
    """The block with normalisation after the addition."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, width) to (B, width)."""
        normalised: Tensor = self.norm(x + self.branch(x))
        return normalised


def build(
    *,
    depth: int = 8,
    width: int = 64,
    activation: Activation = "relu",
    norm: Literal["none", "layer", "batch"] = "none",
    norm_place: Literal["pre", "post"] = "pre",
    residual_scale: float = 1.0,
    branch_init: Literal["usual", "zero", "depth-scaled"] = "usual",
    init_scale: float = 1.0,
    features: int = 64,
    classes: int = 10,
) -> nn.Module:
    """A fresh residual network.

    Args:
        depth: blocks L.
        width: numbers in the stream, and units inside a branch.
        activation: nonlinearity inside a branch.
        norm: layer normalisation, batch normalisation (of the batch at hand; no running statistics), or none.
        norm_place: before each branch (pre), or after each addition (post).
        residual_scale: s, the factor of every branch, in training too.
        branch_init: of a branch's last matrix V: as the first one (usual), zero, or smaller by sqrt(L).
        init_scale: sigma_w, the standard deviation of a branch's weight times sqrt(fan_in).
        features: numbers in an input row.
        classes: outputs.
    """
    last_scale = init_scale * {"usual": 1.0, "zero": 0.0, "depth-scaled": depth**-0.5}[branch_init]
    block = PostNormBlock if norm_place == "post" else Block
    blocks = [
        block(
            scaled_linear(width, width, init_scale),
            scaled_linear(width, width, last_scale),
            _normalisation(norm, width),
            activation,
            residual_scale,
        )
        for _ in range(depth)
    ]
    parts = OrderedDict(
        embedding=scaled_linear(features, width),
        blocks=nn.Sequential(*blocks),
        last_norm=_normalisation(norm if norm_place == "pre" else "none", width),
        readout=scaled_linear(width, classes),
    )
    return nn.Sequential(parts)


def _normalisation(norm: str, width: int) -> nn.Module:
    if norm == "layer":
        return nn.LayerNorm(width)
    return nn.BatchNorm1d(width, track_running_stats=False) if norm == "batch" else nn.Identity()


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each sample in nats, (B,); targets are class numbers, (B,)."""
    return functional.cross_entropy(outputs, targets, reduction="none")
