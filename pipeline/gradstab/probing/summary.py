"""What the values at a position show beside their gradient, read when they are made: later they may be written over."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

_ACTIVATIONS = tuple(
    kind
    for kind in vars(nn.modules.activation).values()
    if isinstance(kind, type) and issubclass(kind, nn.Module) and kind not in (nn.Module, nn.MultiheadAttention)
)


@dataclass(frozen=True)
class Summary:
    """Numbers of one tensor with samples along its first axis, float64 and on its device.

    Attributes:
        mean_square: over all entries.
        cosine: mean over pairs of samples; NaN where fewer than two samples differ from zero.
        dead: fraction of units that are zero on every sample, where an activation made the tensor; else NaN.
    """

    mean_square: Tensor
    cosine: Tensor
    dead: Tensor


def summary_of(values: Tensor, made_by: nn.Module | None = None) -> Summary:
    """The summary of a tensor; `made_by` is the module that returned it, if one did."""
    x_BE = values.detach().double().reshape(len(values), -1) if values.ndim else values.detach().double().view(1, 1)
    nan = x_BE.new_full((), torch.nan)
    norm_B = torch.linalg.vector_norm(x_BE, dim=1)
    unit_BE = x_BE / torch.where(norm_B > 0, norm_B, 1.0)[:, None]
    pairs = (norm_B > 0).sum()
    total = torch.square(unit_BE.sum(0)).sum() - pairs
    dead = (x_BE == 0).all(0).double().mean() if isinstance(made_by, _ACTIVATIONS) else nan
    return Summary(torch.square(x_BE).mean(), total / (pairs * (pairs - 1)), dead)
