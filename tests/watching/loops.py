"""Training loops as users write them, with and without a watch."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

INPUTS = torch.randn(96, 64, generator=torch.Generator().manual_seed(1))
TARGETS = torch.randint(0, 10, (96,), generator=torch.Generator().manual_seed(2))
SIDE = (INPUTS[:16], TARGETS[:16])

Adam: Callable[..., torch.optim.Optimizer] = torch.optim.Adam


def chain(depth: int = 4, width: int = 16, *between: nn.Module, seed: int = 0) -> Any:
    """A plain chain of layers."""
    torch.manual_seed(seed)
    sizes = [64, *[width] * depth]
    layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.Tanh())]
    return nn.Sequential(*layers, *between, nn.Linear(width, 10))


def rich(seed: int = 0) -> Any:
    """With batch normalisation, dropout and a draw of random numbers in training."""
    torch.manual_seed(seed)
    parts: list[nn.Module] = []
    for first in (64, 16, 16):
        parts += [nn.Linear(first, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2)]
    return nn.Sequential(*parts, nn.Linear(16, 10))


def backward(loss: Tensor) -> None:
    """The backward pass."""
    loss.backward()  # type: ignore[no-untyped-call]


def batch_of(step: int) -> tuple[Tensor, Tensor]:
    """The training batch of a step."""
    rows = [(32 * step + row) % 96 for row in range(32)]
    return INPUTS[rows], TARGETS[rows]


def train(model: Any, optimizer: torch.optim.Optimizer, steps: int, first: int = 0) -> list[float]:
    """Losses of a plain loop."""
    losses = []
    for step in range(first, first + steps):
        inputs, targets = batch_of(step)
        loss = functional.cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        backward(loss)
        optimizer.step()
        losses.append(loss.item())
    return losses
