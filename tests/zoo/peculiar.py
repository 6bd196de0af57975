"""Modules that are written in ways which a probe may stumble over."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tests.zoo import chains

WIDTH, CLASSES = chains.WIDTH, chains.CLASSES


class FrozenRecurrence(nn.Module):
    """A recurrent layer that passes no gradient, below a chain that is trained."""

    def __init__(self, kind: type[nn.RNNBase] = nn.RNN, *, inference: bool = False, **settings) -> None:
        super().__init__()
        self.rnn = kind(6, 6, batch_first=True, **settings)  # type: ignore[arg-type]
        self.body = nn.Sequential(nn.Linear(12 if settings else 6, 6), *chains.flat(4))
        self.inference = inference

    def forward(self, x):
        with torch.inference_mode() if self.inference else torch.no_grad():
            kept, _ = self.rnn(x)
        return self.body(kept[:, -1].clone())


@dataclass(slots=True)
class Slotted:
    logits: Tensor


class InSlots(nn.Module):
    """Returns an object without a __dict__."""

    def __init__(self) -> None:
        super().__init__()
        self.body = chains.flat(4)

    def forward(self, x):
        return Slotted(self.body(x))


class OneVector(nn.Module):
    """All weights in one vector, cut into matrices."""

    def __init__(self, depth: int = 5) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(depth * 6 * 6) / math.sqrt(6))
        self.activations = nn.ModuleList([nn.Tanh() for _ in range(depth)])
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x):
        for index, activation in enumerate(self.activations):
            x = activation(x @ self.weights[36 * index : 36 * index + 36].view(6, 6))
        return self.head(x)


class OneVectorReadout(nn.Module):
    """The readout is a product with a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(*list(chains.flat(5))[:-1])
        self.readout = nn.Parameter(torch.randn(WIDTH))

    def forward(self, x):
        return self.body(x) @ self.readout


class Bottlenecked(nn.Module):
    """From one number through wide layers to one number, as in regression."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(1, WIDTH), nn.Tanh(), *list(chains.flat(4, 1.0))[2:-1], nn.Linear(WIDTH, 1))

    def forward(self, x):
        return self.body(x[:, :1])


class TwoTowers(nn.Module):
    """Two plain chains whose outputs meet in a product; `shared`: one chain on both inputs."""

    def __init__(self, *, shared: bool = False) -> None:
        super().__init__()
        self.query = chains.flat(4)
        self.key = self.query if shared else chains.flat(6)

    def forward(self, left, right):
        return self.key(right) * self.query(left)


class OnlyAttention(nn.Module):
    """Attention layers in a chain, with no path round them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.MultiheadAttention(6, 2, batch_first=True) for _ in range(4)])
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x):
        for layer in self.layers:
            x, _ = layer(x, x, x)
        return self.head(x.mean(1))


class StackedCells(nn.Module):
    """Two LSTM cells on each other, in one loop."""

    def __init__(self) -> None:
        super().__init__()
        self.lower, self.upper, self.head = nn.LSTMCell(3, 6), nn.LSTMCell(6, 6), nn.Linear(6, CLASSES)

    def forward(self, x):
        zeros = torch.zeros(len(x), 6)
        lower = upper = (zeros, zeros)
        for step in x.unbind(1):
            lower = self.lower(step, lower)
            upper = self.upper(lower[0], upper)
        return self.head(upper[0])


class Mapped(nn.Module):
    """Runs its layers under vmap."""

    def __init__(self) -> None:
        super().__init__()
        self.body = chains.flat(4)

    def forward(self, x):
        return torch.vmap(self.body)(x)


class Ragged(nn.Module):
    """Takes a nested tensor, whose samples have lengths of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = chains.flat(4)

    def forward(self, x):
        return self.body(x.to_padded_tensor(0.0).sum(1))


class Gated(nn.Module):
    """A mixture of experts: each row goes to its best one, written in place."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(WIDTH, 3)
        self.experts = nn.ModuleList(
            [nn.Sequential(nn.Linear(WIDTH, 12), nn.ReLU(), nn.Linear(12, WIDTH)) for _ in range(3)]
        )

    def forward(self, x):
        weights, chosen = self.gate(x).softmax(-1).max(-1)
        out = torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            rows = chosen == index
            if rows.any():
                out[rows] = expert(x[rows]) * weights[rows, None]
        return x + out


def mixture_of_experts() -> nn.Module:
    return nn.Sequential(nn.Linear(6, WIDTH), *[Gated() for _ in range(4)], nn.Linear(WIDTH, CLASSES))


class InPlace(nn.Module):
    """Everything that can be written in place is."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        y = self.linear(x)
        y.add_(0.1).mul_(0.7).relu_()
        x = x.clone()
        x += y
        return x.clamp_(-3, 3)


def in_place() -> nn.Module:
    return nn.Sequential(nn.Linear(6, WIDTH), *[InPlace() for _ in range(5)], nn.Linear(WIDTH, CLASSES))


class ComplexNumbers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6 if index == 0 else 8, 8, dtype=torch.complex64) for index in range(4)])
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x):
        z = torch.complex(x, -x)
        for layer in self.layers:
            z = layer(z)
            z = z * torch.sigmoid(z.abs())
        return self.head(z.abs())


class Averaging(nn.Module):
    """Subtracts a moving average, which it updates in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.body = chains.flat(4)
        self.register_buffer("mean", torch.zeros(6))

    def forward(self, x):
        self.mean: Tensor = 0.9 * self.mean + 0.1 * x.mean(0).detach()
        return self.body(x - self.mean)


class Invertible(nn.Module):
    """Coupling layers that hand on two tensors, the second one the sum of logarithms of a determinant."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Coupling() for _ in range(4)])

    def forward(self, x):
        total = torch.zeros(len(x))
        for layer in self.layers:
            x, total = layer(x, total)
        return x, total


class Coupling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 6))

    def forward(self, x, total):
        kept, changed = x.chunk(2, 1)
        scale, shift = self.net(kept).chunk(2, 1)
        scale = torch.tanh(scale)
        return torch.cat([changed * scale.exp() + shift, kept], 1), total + scale.sum(1)


def forward_put_on(module: nn.Module) -> nn.Module:
    """The module with a `forward` of its own that doubles what the usual one gives."""
    usual = module.forward
    module.forward = lambda x: 2 * usual(x)
    return module
