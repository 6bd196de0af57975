"""Each family small, with a batch that it takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from gradstab.families.registry import FAMILIES

BATCH, LENGTH = 16, 20


@dataclass(frozen=True)
class Case:
    """A family with settings; `mixes` where batch normalisation makes a sample depend on the others."""

    family: str
    settings: dict[str, Any] = field(default_factory=dict)
    mixes: bool = False

    def __str__(self) -> str:
        return "-".join([self.family, *(f"{name}={value}" for name, value in self.settings.items())])

    @property
    def module(self) -> Any:
        return import_module(FAMILIES[self.family])

    def build(self, seed: int, **changed: Any) -> nn.Module:
        torch.manual_seed(seed)
        module: nn.Module = self.module.build(**self.settings | changed)
        return module

    def batch(self, seed: int = 0) -> tuple[Tensor, Tensor]:
        return batch(self.family, seed)


def batch(family: str, seed: int = 0, size: int = BATCH) -> tuple[Tensor, Tensor]:
    """Inputs of mean square 1 (random tokens for the transformer) and targets, for the default sizes of a family."""
    draws = torch.Generator().manual_seed(seed)
    if family == "transformer":
        tokens = torch.randint(0, 256, (size, LENGTH + 1), generator=draws)
        return tokens[:, :-1], tokens[:, 1:]
    shape = {"mlp": (64,), "residual": (64,), "rnn": (LENGTH, 8), "conv": (1, 8, 8)}[family]
    inputs = torch.randn(size, *shape, generator=draws)
    scale = inputs.flatten(1).square().mean(1).sqrt().view(-1, *[1] * len(shape))
    return inputs / scale, torch.randint(0, 10, (size,), generator=draws)


CASES = [
    Case("mlp"),
    Case("mlp", {"activation": "relu", "bias_scale": 0.2}),
    Case("residual"),
    Case("residual", {"norm": "layer", "residual_scale": 0.3}),
    Case("residual", {"norm": "layer", "norm_place": "post", "branch_init": "depth-scaled"}),
    Case("residual", {"norm": "batch"}, mixes=True),
    Case("residual", {"branch_init": "zero"}),
    Case("transformer"),
    Case("transformer", {"norm_place": "post", "qk_norm": True, "tied": False, "heads": 2}),
    Case("transformer", {"branch_init": "zero"}),
    Case("rnn"),
    Case("rnn", {"weight_init": "normal", "input_scale": 0.5}),
    Case("rnn", {"cell": "lstm"}),
    Case("rnn", {"cell": "gru", "weight_init": "normal"}),
    Case("conv"),
    Case("conv", {"norm": "layer", "weight_init": "delta-orthogonal"}),
    Case("conv", {"norm": "batch", "activation": "relu"}, mixes=True),
]
