"""The activations of the library as torch functions, which autograd and `torch.func.vmap` can take apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Activation = Literal[
    "elu", "erf", "gelu", "leaky_relu", "linear", "relu", "selu", "sigmoid", "silu", "softplus", "tanh"
]  # fmt: skip


def linear(z: Tensor) -> Tensor:
    """phi(z) = z."""
    return z


FUNCTIONS: Mapping[Activation, Callable[[Tensor], Tensor]] = {
    "elu": functional.elu,
    "erf": torch.erf,
    "gelu": functional.gelu,
    "leaky_relu": functional.leaky_relu,
    "linear": linear,
    "relu": functional.relu,
    "selu": functional.selu,
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
    "softplus": functional.softplus,
    "tanh": torch.tanh,
}
