"""Small modules for tests of studies of modules, as a user writes them."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional


class Chain(nn.Module):
    """A plain chain of layers, with a choice of what stands behind each."""

    def __init__(self, depth: int, width: int, between: str = "tanh") -> None:
        super().__init__()
        sizes = [64, *[width] * depth]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        extra = {"batch": lambda: nn.BatchNorm1d(width), "dropout": lambda: nn.Dropout(0.3)}.get(between, nn.Identity)
        self.between = nn.ModuleList(extra() for _ in range(depth))
        self.out = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for layer, between in zip(self.layers, self.between, strict=True):
            x = torch.tanh(between(layer(x)))
        return self.out(x)


class Residual(nn.Module):
    """A residual stack; the branch is one layer."""

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(64, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(depth))
        self.out = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.flatten(1))
        for block in self.blocks:
            x = block(x)
        return self.out(x)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.branch = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.branch(self.norm(x)))


def chain(depth: int, width: int, *, between: str = "tanh") -> nn.Module:
    return Chain(depth, width, between)


def residual(depth: int, width: int) -> nn.Module:
    return Residual(depth, width)


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, targets, reduction="none")
