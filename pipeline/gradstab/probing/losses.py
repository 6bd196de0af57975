"""The loss that the user gives: its value, and the weight with which each sample's own loss enters it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradstab.probing.refusals import refuse
from gradstab.probing.trees import Tree, differentiable, map_tensors

Loss = Callable[[Any, Any], Any]

_MOST_ALONE = 64  # samples whose loss is taken alone
_PARALLEL = 1e-6  # relative, of a sample's share of the gradient and the gradient of its own loss
_PARALLEL_SINGLE = 1e-3


@dataclass(frozen=True)
class Weights:
    """How the samples' own losses add up to the loss given.

    Attributes:
        total: the sum of the weights: 1 for a mean, B for a sum.
        remark: what a reader must know, as that weights differ.
    """

    total: float
    remark: str = ""


def one_number(value: Any, num_samples: int | None) -> Tensor:
    """The loss as one number: the mean of losses given per sample.

    Raises:
        UsageError: it is neither one number nor one a sample, or does not depend on the module.
    """
    if not isinstance(value, Tensor):
        refuse(f"the loss must return a tensor of one number or of one a sample, got {type(value).__name__}")
    if value.numel() == 1:
        number: Tensor = value.reshape(())
    elif value.ndim and value.numel() == len(value) == num_samples:  # (B,), or (B, 1)
        number = value.mean()
    else:
        refuse(f"the loss must return one number or one a sample, got a tensor of shape {tuple(value.shape)}")
    if not number.requires_grad:
        refuse("the loss must depend on the module's layers through autograd, but its gradient was cut off")
    return number


def weights_of(loss: Loss, outputs: Tree, targets: Tree, value: Tensor, num_samples: int) -> Weights:
    """The samples' weights, recovered from gradients: a sample's share of the gradient over that of its loss alone.

    Args:
        loss, targets: as given.
        outputs: as given to the loss; its tensors with a gradient have samples along the first axis.
        value: the loss given, of those outputs.
        num_samples: B.
    """
    heads = differentiable(outputs)
    if any(not head.ndim or len(head) != num_samples for head in heads):
        return Weights(1.0)
    shares = torch.autograd.grad(value, heads, retain_graph=True, allow_unused=True, materialize_grads=True)
    weights = []
    chosen = sorted({round(place) for place in np.linspace(0, num_samples - 1, min(num_samples, _MOST_ALONE))})
    for sample in chosen:
        try:
            weight = _weight(loss, outputs, targets, [share[sample] for share in shares], sample, num_samples)
        except Exception:  # a loss need not take one sample
            return Weights(1.0, "the loss cannot be called on one sample: its level is taken as that of a mean")
        if weight is None:
            return Weights(1.0, "the loss compares samples with each other: its level is taken as that of a mean")
        weights.append(weight)
    mean = sum(weights) / len(weights)
    if not mean > 0:
        return Weights(1.0)
    least, most = min(weights) / mean, max(weights) / mean
    if most - least < 1e-3:
        return Weights(mean * num_samples)
    remark = f"the loss weighs samples by {least:.3g} to {most:.3g} of the mean weight, and so does the probe"
    return Weights(mean * num_samples, remark)


def _weight(
    loss: Loss, outputs: Tree, targets: Tree, share: list[Tensor], sample: int, num_samples: int
) -> float | None:
    """The weight of one sample, 0 for one that does not count, None where the loss is not made of samples' losses."""

    def row(tensor: Tensor) -> Tensor:
        kept = tensor[sample : sample + 1] if tensor.ndim and len(tensor) == num_samples else tensor
        return kept.detach().clone().requires_grad_(tensor.requires_grad)

    if not any(bool(part.any()) for part in share):
        return 0.0
    own = map_tensors(row, outputs)
    value = one_number(loss(own, map_tensors(row, targets)), 1)
    alone = torch.autograd.grad(value, differentiable(own), allow_unused=True, materialize_grads=True)
    given, found = _flat(share), _flat([part[0] for part in alone])
    square = float(found @ found)
    if not square > 0:
        return None
    weight = float(given @ found) / square
    tolerance = _PARALLEL if share[0].dtype == torch.float64 else _PARALLEL_SINGLE
    apart = float((given - weight * found).abs().max())
    return weight if weight > 0 and apart <= tolerance * float(given.abs().max()) else None


def _flat(parts: list[Tensor]) -> Tensor:
    real = [torch.view_as_real(part) if part.is_complex() else part for part in parts]
    return torch.cat([part.detach().double().reshape(-1) for part in real])
