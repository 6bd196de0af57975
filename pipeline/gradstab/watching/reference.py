"""The loss of the best constant prediction on a side batch, for losses in which it is known."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gradstab.probing.forward import Batch, Forward
from gradstab.training.reference_losses import constant_loss

_MOST_SAMPLES = 256  # whose losses are taken one by one


def reference_loss(batch: Batch, forward: Forward, num_samples: int) -> float:
    """Fitted for cross-entropy and squared error, whichever the loss turns out to be by its values; else NaN.

    Args:
        forward: of the batch, whose loss may be one number or one a sample.
    """
    outputs, targets = forward.outputs, batch.targets
    if not (isinstance(outputs, Tensor) and isinstance(targets, Tensor)):
        return math.nan
    if len({num_samples, len(outputs), len(targets)}) > 1 or num_samples > _MOST_SAMPLES:
        return math.nan
    with torch.no_grad():
        outputs = outputs.detach().cpu().double()
        targets = targets.detach().cpu()
        if not outputs.isfinite().all() or (outputs == outputs[:1]).all():
            outputs = torch.randn(outputs.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        try:
            losses = [_loss_of(batch, outputs, targets, at) for at in range(num_samples)]
            found = constant_loss(torch.stack(losses), outputs, targets, targets)
        except Exception:  # a loss need not take one sample, nor float64 on a CPU
            return math.nan
    return math.nan if found is None else found.loss


def _loss_of(batch: Batch, outputs: Tensor, targets: Tensor, at: int) -> Tensor:
    value = batch.loss(outputs[at : at + 1], targets[at : at + 1])
    return value.reshape(-1).mean() if isinstance(value, Tensor) else torch.tensor(float(value))
