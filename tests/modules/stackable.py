"""Modules that can be computed several at once, and such that cannot, each for a reason of its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tests.modules.networks import Chain


class Attention(nn.Module):
    """A block of attention written out in products, and a layer; samples are the digit's eight rows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.register_buffer("mask", torch.full((8, 8), -torch.inf).triu(1))

    def forward(self, x: Tensor) -> Tensor:
        batch, steps, width = x.shape
        parts = self.qkv(self.norm(x)).chunk(3, -1)
        q, k, v = (part.view(batch, steps, 2, width // 2).transpose(1, 2) for part in parts)
        scores = q @ k.transpose(-1, -2) / (width // 2) ** 0.5 + self.mask
        x = x + self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, steps, width))
        found: Tensor = x + self.down(torch.relu(self.up(x)))
        return found


class Transformer(nn.Module):
    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.blocks = nn.ModuleList(Attention(width) for _ in range(depth))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.view(-1, 8, 8))
        for block in self.blocks:
            x = block(x)
        found: Tensor = self.head(x.mean(1))
        return found


class Cell(nn.Module):
    """A recurrent cell that returns a state of two tensors."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, 2 * width)

    def forward(self, drive: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        new, gate = (drive + self.hidden(h)).chunk(2, -1)
        c = c * gate.sigmoid() + new.tanh()
        return c.tanh(), c


class Recurrent(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inward, self.cell, self.head = nn.Linear(8, 2 * width), Cell(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        drive = self.inward(x.view(-1, 8, 8))
        state = (drive.new_zeros(len(x), self.head.in_features),) * 2
        for step in drive.unbind(1):
            state = self.cell(step, *state)
        found: Tensor = self.head(state[0])
        return found


class Lstm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(8, width, batch_first=True), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.lstm(x.view(-1, 8, 8))[0][:, -1])
        return found


def weight_of(chain: Chain, layer: int) -> Tensor:
    """A weight as a forward pass finds it, which is no nn.Parameter while a stack lends it out."""
    part = chain.layers[layer]
    assert isinstance(part, nn.Linear)
    return part.weight


class Altered(Chain):
    """A plain chain with something done to what its first layer takes."""

    calls: Tensor
    alpha: Any

    def __init__(self, depth: int, width: int, alpha: float = 1.0) -> None:
        super().__init__(depth, width)
        self.register_buffer("calls", torch.zeros(()))
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = super().forward(self.altered(x.flatten(1)))
        return found

    @property
    def first(self) -> Tensor:
        """The weight of the first layer."""
        return weight_of(self, 0)

    def altered(self, x: Tensor) -> Tensor:
        return x


class Tied(Chain):
    """All layers but the first share a weight."""

    def __init__(self, depth: int, width: int) -> None:
        super().__init__(depth, width)
        for layer in self.layers[2:]:
            layer.weight = self.get_parameter("layers.1.weight")


class WithBuffer(Altered):
    """A float argument as a buffer."""

    def __init__(self, depth: int, width: int, alpha: float = 1.0) -> None:
        super().__init__(depth, width)
        del self.alpha
        self.register_buffer("alpha", torch.tensor(alpha))

    def altered(self, x: Tensor) -> Tensor:
        found: Tensor = self.alpha * x
        return found


class WithAttribute(Altered):
    """A float argument as a plain attribute."""

    def altered(self, x: Tensor) -> Tensor:
        found: Tensor = self.alpha * x
        return found


class WithClosure(Altered):
    """A float argument where no comparison of attributes finds it."""

    def __init__(self, depth: int, width: int, alpha: float = 1.0) -> None:
        super().__init__(depth, width)
        self.times: Callable[[Tensor], Tensor] = lambda x: alpha * x

    def altered(self, x: Tensor) -> Tensor:
        return self.times(x)


class CountsInPlace(Altered):
    """A buffer that a forward pass writes into."""

    def altered(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        return x * (1 + self.calls)


class Replaces(Altered):
    """A buffer that a forward pass replaces."""

    def altered(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1
        return x


class Stashes(Altered):
    """A forward pass leaves a tensor on the module."""

    def altered(self, x: Tensor) -> Tensor:
        self.last = x.detach()
        return x


class Writes(Altered):
    """In place into a tensor that all members share."""

    def altered(self, x: Tensor) -> Tensor:
        kept = torch.zeros(x.shape[1], dtype=x.dtype)
        kept.add_(x.mean(0))
        return x - kept


class ReadsItem(Altered):
    def altered(self, x: Tensor) -> Tensor:
        return x * (1 + self.first.abs().max().item() * 0)


class Branches(Altered):
    def altered(self, x: Tensor) -> Tensor:
        return x if self.first.sum() < 1e9 else -x


class ShapesFromData(Altered):
    def altered(self, x: Tensor) -> Tensor:
        return x + 0 * self.first.nonzero().sum()


class _Doubling(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return 2 * grad


class OwnFunction(Altered):
    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = _Doubling.apply(super().forward(x))  # type: ignore[no-untyped-call]
        return found


class Jitters(Altered):
    """Draws from Python's generator, of which torch knows nothing."""

    def altered(self, x: Tensor) -> Tensor:
        return x * (1 + 1e-14 * random.random())


class Chaotic(Altered):
    """Makes rounding errors as large as the outputs."""

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = torch.sin(1e15 * super().forward(x))
        return found


class LstmBetween(Altered):
    """A layer that torch cannot run for several members at once, between taps that hooks reach."""

    def __init__(self, depth: int, width: int) -> None:
        super().__init__(depth, width)
        self.lstm = nn.LSTMCell(64, 64)

    def altered(self, x: Tensor) -> Tensor:
        found: Tensor = self.lstm(x)[0]
        return found
