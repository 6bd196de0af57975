"""Plain chains: the same kind of network written flat, in blocks, with bare parameters, and with peculiarities."""

from __future__ import annotations

import math
import threading

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

WIDTH, FEATURES, CLASSES = 8, 6, 4


def linears(depth: int, scale: float, features: int = FEATURES) -> list[nn.Linear]:
    layers = [nn.Linear(features if index == 0 else WIDTH, WIDTH) for index in range(depth)]
    for layer in layers:
        nn.init.normal_(layer.weight, std=scale / math.sqrt(layer.in_features))
    return layers


def flat(depth: int = 8, scale: float = 1.0, activation: type[nn.Module] = nn.Tanh, **settings) -> nn.Sequential:
    parts = [part for layer in linears(depth, scale) for part in (layer, activation(**settings))]
    return nn.Sequential(*parts, nn.Linear(WIDTH, CLASSES))


def dropped(depth: int = 12) -> nn.Sequential:
    parts = [part for layer in linears(depth, 1.5) for part in (layer, nn.ReLU(), nn.Dropout(0.3))]
    return nn.Sequential(*parts, nn.Linear(WIDTH, CLASSES))


def normalised(depth: int = 6) -> nn.Sequential:
    parts = [part for layer in linears(depth, 1.0) for part in (layer, nn.BatchNorm1d(WIDTH), nn.ReLU())]
    return nn.Sequential(*parts, nn.Linear(WIDTH, CLASSES))


class Block(nn.Module):
    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        self.activation = nn.Tanh()

    def forward(self, x):
        return self.activation(self.linear(x))


def blocks(depth: int = 8, scale: float = 1.0) -> nn.Sequential:
    return nn.Sequential(*[Block(layer) for layer in linears(depth, scale)], nn.Linear(WIDTH, CLASSES))


class Bare(nn.Module):
    """The weights of a flat chain as bare parameters, one product written each way that people write it."""

    def __init__(self, source: nn.Sequential) -> None:
        super().__init__()
        layers = [part for part in source if isinstance(part, nn.Linear)]
        self.weights = nn.ParameterList([nn.Parameter(layer.weight.detach().clone()) for layer in layers])
        self.biases = nn.ParameterList([nn.Parameter(layer.bias.detach().clone()) for layer in layers])

    def forward(self, x):
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if index % 4 == 0:
                x = x @ weight.t() + bias
            elif index % 4 == 1:
                x = functional.linear(x, weight * 1.0, bias)
            elif index % 4 == 2:
                x = torch.einsum("bi,oi->bo", x, weight) + bias
            else:
                x = torch.addmm(bias, x, weight.t())
            if index < len(self.weights) - 1:
                x = torch.tanh(x)
        return x


class Convolutional(nn.Module):
    def __init__(self, depth: int = 6) -> None:
        super().__init__()
        self.features = nn.Sequential()
        for index in range(depth):
            self.features.append(nn.Conv2d(2 if index == 0 else 4, 4, 3, padding=1))
            self.features.append(nn.ReLU(inplace=True))
        self.features.append(nn.AdaptiveAvgPool2d(2))
        self.classifier = nn.Sequential(nn.Linear(16, WIDTH), nn.ReLU(inplace=True), nn.Linear(WIDTH, CLASSES))

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


class Autoencoder(nn.Module):
    """The decoder uses the encoder's weights transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, 5), nn.Linear(5, 4)])

    def forward(self, x):
        for layer in self.encoder:
            x = torch.tanh(layer(x))
        for layer in reversed(self.encoder):
            assert isinstance(layer, nn.Linear)
            x = functional.linear(torch.tanh(x), layer.weight.t())
        return x


class Checkpointed(nn.Module):
    def __init__(self, *, reentrant: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(*[Block(layer) for layer in linears(6, 1.2)])
        self.head = nn.Linear(WIDTH, CLASSES)
        self.reentrant = reentrant

    def forward(self, x):
        for block in self.body:
            x = checkpoint(block, x, use_reentrant=self.reentrant)
        return self.head(x)


class CheckpointedInSegments(Checkpointed):
    def forward(self, x):
        kept = checkpoint_sequential(self.body, 2, x, use_reentrant=self.reentrant)  # type: ignore[no-untyped-call]
        return self.head(kept)


class Casting(nn.Module):
    """Casts and autocast inside, as mixed-precision code has them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(linears(5, 1.0))
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        for layer in self.layers:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                x = layer(x)
            x = torch.tanh(x.float()).to(torch.float32).type_as(self.head.weight)
            x = x + torch.zeros(x.shape, dtype=torch.float32)
        return self.head(x.to(dtype=torch.float32))


class Locked(nn.Module):
    """Holds what cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.body = flat(4)
        self.lock = threading.Lock()
        self.generator = torch.Generator()

    def forward(self, x):
        with self.lock:
            return self.body(x)


class Keeping(nn.Module):
    """Keeps activations from call to call, on itself and in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.body = flat(4)
        self.seen: list[Tensor] = []
        self.last: Tensor | None = None

    def forward(self, x):
        self.last = self.body(x)
        self.seen.append(self.last)
        return self.last


class HalfFrozen(nn.Module):
    """A body that passes no gradient below a chain that is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(*[Block(layer) for layer in linears(3, 1.0)])
        self.trained = nn.Sequential(*[Block(layer) for layer in linears(4, 1.0, WIDTH)])
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        with torch.no_grad():
            x = self.backbone(x)
        return self.head(self.trained(x))


class TwoHeads(nn.Module):
    """A shared body under a policy and a value, as in reinforcement learning."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(*[part for layer in linears(3, 1.0) for part in (layer, nn.Tanh())])
        self.policy, self.value = nn.Linear(WIDTH, CLASSES), nn.Linear(WIDTH, 1)

    def forward(self, x):
        x = self.body(x)
        return {"policy": self.policy(x), "value": self.value(x)}


class HyperNetwork(nn.Module):
    """The weights are made by a layer, whose gradient sums over samples."""

    def __init__(self) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.randn(4, 3))
        self.maker = nn.Linear(3, WIDTH * WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)
        self.activations = nn.ModuleList([nn.Tanh() for _ in self.codes])

    def forward(self, x):
        for code, activation in zip(self.codes, self.activations, strict=True):
            x = activation(x @ self.maker(code).view(WIDTH, WIDTH)[: x.shape[1]])
        return self.head(x)


class Noisy(nn.Module):
    """Draws noise from a generator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(linears(5, 1.0))
        self.head = nn.Linear(WIDTH, CLASSES)
        self.generator = torch.Generator().manual_seed(3)

    def forward(self, x):
        for layer in self.layers:
            x = torch.tanh(layer(x) + 0.3 * torch.randn(x.shape[0], WIDTH, generator=self.generator))
        return self.head(x)
