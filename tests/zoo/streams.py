"""Networks with a stream: residual, dense, convolutional and attention blocks; and some without one."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

CLASSES = 4


def norm_of(kind: str, channels: int) -> nn.Module:
    return {"batch": nn.BatchNorm2d(channels), "group": nn.GroupNorm(2, channels), "none": nn.Identity()}[kind]


class BasicBlock(nn.Module):
    def __init__(self, inside: int, outside: int, stride: int, norm: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = norm_of(norm, outside)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = norm_of(norm, outside)
        self.downsample = None
        if stride != 1 or inside != outside:
            self.downsample = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), norm_of(norm, outside))

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, norm: str = "batch") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 3, 1, 1, bias=False)
        self.bn1 = norm_of(norm, 4)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(BasicBlock(4, 4, 1, norm), BasicBlock(4, 4, 1, norm))
        self.layer2 = nn.Sequential(BasicBlock(4, 8, 2, norm), BasicBlock(8, 8, 1, norm))
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        return self.fc(self.layer2(self.layer1(x)).mean((2, 3)))


class DenseLayer(nn.Module):
    def __init__(self, inside: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, 2, 3, padding=1)

    def forward(self, x):
        return torch.cat([x, torch.relu(self.conv(x))], 1)


class DenseNet(nn.Module):
    """Each layer hands on all that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 2, 3, padding=1)
        self.layers = nn.ModuleList([DenseLayer(2 + 2 * index) for index in range(5)])
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean((2, 3)))


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, 2, 1), nn.Conv2d(2, channels, 1)

    def forward(self, x):
        return x * functional.hardsigmoid(self.up(torch.relu(self.down(x.mean((2, 3), keepdim=True)))))


class InvertedResidual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(channels, 8, 1), nn.BatchNorm2d(8), nn.Hardswish(inplace=True))
        self.depthwise = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.Hardswish())
        self.squeeze = SqueezeExcite(8)
        self.project = nn.Sequential(nn.Conv2d(8, channels, 1), nn.BatchNorm2d(channels))

    def forward(self, x):
        return x + self.project(self.squeeze(self.depthwise(self.expand(x))))


class MobileNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Hardswish())
        self.blocks = nn.Sequential(*[InvertedResidual(4) for _ in range(4)])
        self.head = nn.Sequential(nn.Linear(4, 6), nn.Hardswish(), nn.Dropout(0.0), nn.Linear(6, CLASSES))

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class ConvNextBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.up, self.down = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)
        self.layer_scale = nn.Parameter(torch.full((channels, 1, 1), 1e-6))

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + self.layer_scale * self.down(functional.gelu(self.up(y))).permute(0, 3, 1, 2)


class ConvNext(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 2, 2)
        self.blocks = nn.Sequential(*[ConvNextBlock(4) for _ in range(5)])
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class UNet(nn.Module):
    """Its skips lead across the network, so no series passes the whole gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([self._double(2, 4), self._double(4, 4), self._double(4, 4)])
        self.up = nn.ModuleList([self._double(8, 4), self._double(8, 4)])
        self.head = nn.Conv2d(4, CLASSES, 1)

    @staticmethod
    def _double(inside: int, outside: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU(), nn.Conv2d(outside, outside, 3, padding=1), nn.ReLU()
        )

    def forward(self, x):
        kept = []
        for index, part in enumerate(self.down):
            x = part(functional.max_pool2d(x, 2) if index else x)
            kept.append(x)
        for part, skip in zip(self.up, kept[-2::-1], strict=True):
            x = part(torch.cat([functional.interpolate(x, scale_factor=2), skip], 1))
        return self.head(x).mean((2, 3))


class ReZeroBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x + self.gain * torch.relu(self.linear(x))


class ReZero(nn.Module):
    def __init__(self, depth: int = 5) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.blocks = nn.ModuleList([ReZeroBlock(8) for _ in range(depth)])
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class FlatResidual(nn.Module):
    """A residual stack without a module for its blocks."""

    def __init__(self, depth: int = 5) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.norms = nn.ModuleList([nn.LayerNorm(8) for _ in range(depth)])
        self.linears = nn.ModuleList([nn.Linear(8, 8) for _ in range(depth)])
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        for norm, linear in zip(self.norms, self.linears, strict=True):
            x = x + torch.relu(linear(norm(x)))
        return self.head(x)


class Iterated(nn.Module):
    """One block applied many times."""

    def __init__(self, depth: int = 6) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(6, 8), nn.Linear(8, CLASSES)
        self.block = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
        self.depth = depth

    def forward(self, x):
        x = self.stem(x)
        for _ in range(self.depth):
            x = x + 0.5 * self.block(x)
        return self.head(x)


class Siamese(nn.Module):
    """One encoder on two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ReZero(4)

    def forward(self, left, right):
        return self.encoder(left) * self.encoder(right)


class LayerDrop(ReZero):
    """Blocks are left out at random in training."""

    def __init__(self) -> None:
        super().__init__(6)
        for block in self.blocks:
            nn.init.ones_(block.gain)  # type: ignore[arg-type]

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            if not self.training or torch.rand(()) > 0.3:
                x = block(x)
        return self.head(x)
