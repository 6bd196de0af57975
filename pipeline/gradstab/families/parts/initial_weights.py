"""Initial weights in the convention of gradstab: the standard deviation is a scale over sqrt(fan_in), not fan_out.

All values come from torch's global generator.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def scaled_linear(fan_in: int, fan_out: int, scale: float = 1.0, bias_scale: float = 0.0) -> nn.Linear:
    """A linear layer with weights from N(0, scale^2 / fan_in) and biases from N(0, bias_scale^2)."""
    layer = nn.Linear(fan_in, fan_out)
    nn.init.normal_(layer.weight, std=scale / math.sqrt(fan_in))
    nn.init.normal_(layer.bias, std=bias_scale)
    return layer


@torch.no_grad()
def fill_orthogonal(weight_OI: Tensor, scale: float = 1.0) -> None:
    """Fill a matrix with scale times an orthogonal one, drawn uniformly.

    A matrix that widens has orthogonal columns, and is larger by sqrt(fan_out / fan_in), so that lengths are kept as
    by normal weights: every entry has the standard deviation scale / sqrt(fan_in).
    """
    fan_out, fan_in = weight_OI.shape
    nn.init.orthogonal_(weight_OI, gain=scale * math.sqrt(max(fan_out, fan_in) / fan_in))
