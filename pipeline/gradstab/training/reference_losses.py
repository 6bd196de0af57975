"""The loss of the best constant prediction, in closed form, for the losses of which it is known.

Which loss a user's function is, is decided by numbers alone: its values for given outputs are held against the softmax
cross-entropy and the squared error of the same outputs. Array axes: B samples of the decision, N training rows, C
classes, P positions of a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradstab.training.tensor_data import TensorData

TOLERANCE = 1e-6  # of a loss's spread over samples: its level would hide what nearly equal outputs do
COMMON = 0.01  # share of a label that the samples of the decision must show
DECIDING_ROWS = 256
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class ConstantLoss:
    """The mean loss of the best constant prediction over all training rows.

    Attributes:
        loss: in the unit of the user's loss.
        name: of the loss, as a sentence may say it.
    """

    loss: float
    name: str


def fitted_reference(
    loss: Callable[[Any, Any], Tensor], outputs_of: Callable[[NDArray[np.int64]], Any], data: TensorData
) -> ConstantLoss | None:
    """The loss of the best constant prediction on the training rows, or None if the loss is not one of the known ones.

    Decided in float64 on the first rows of the probe order, at what a network returns for them. A network that returns
    the same for all of them (a zero readout) shows nothing, and normal numbers stand in for its outputs.

    Args:
        loss: `(outputs, targets) -> (B,)`.
        outputs_of: what a network returns for these rows.
    """
    rows = data.probe_rows(min(DECIDING_ROWS, data.num_rows))
    outputs = outputs_of(rows)
    _, targets = data.batch(rows, torch.float64, torch.device("cpu"))
    if not isinstance(outputs, Tensor):
        return None
    outputs = outputs.detach().cpu().double()
    if not outputs.isfinite().all() or (outputs == outputs[:1]).all():
        outputs = torch.randn(outputs.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    try:
        loss_values = loss(outputs, targets)
    except Exception:  # a loss that takes float32 alone, as one with weights of classes does
        return None
    return constant_loss(loss_values, outputs, targets, data.targets)


def constant_loss(loss_values: Tensor, outputs: Tensor, targets: Any, training_targets: Any) -> ConstantLoss | None:
    """The mean loss of the best constant prediction over all training rows, or None if the loss is neither of the two.

    - Softmax cross-entropy over classes on the last axis or, as `F.cross_entropy` has them, on axis 1; the sum over a
      sample's positions or their mean, times any constant. The best constant prediction gives all positions of all
      samples the frequencies of the labels, and its loss is their entropy. Positions with a negative label count as
      left out (`ignore_index=-100`), if the values say so.
    - The squared error, summed over a sample's entries or their mean, times any constant. The best constant prediction
      is the mean of each entry, and its loss is the variance.

    Args:
        loss_values: (B,), float64, the loss of each sample. At least three samples.
        outputs: float64, what the network returned. Outputs that are equal for all samples decide nothing.
        targets: the targets of the same samples.
        training_targets: the targets of all training rows.
    """
    if not isinstance(targets, Tensor) or not isinstance(training_targets, Tensor):
        return None
    loss_B = loss_values.detach().cpu().double()
    if loss_B.ndim != 1 or len(loss_B) < 3 or len(outputs) != len(loss_B) or len(targets) != len(loss_B):
        return None
    with torch.no_grad():
        if targets.is_floating_point():
            found, name = _squared_error(loss_B, outputs, targets, training_targets), "squared error"
        else:
            found, name = _cross_entropy(loss_B, outputs, targets, training_targets), "cross-entropy"
    return None if found is None else ConstantLoss(found, name)


def _squared_error(loss_B: Tensor, outputs: Tensor, targets: Tensor, training_targets: Tensor) -> float | None:
    if outputs.numel() != targets.numel():
        return None
    error_BP = outputs.double().reshape(len(loss_B), -1) - targets.double().reshape(len(loss_B), -1)
    factor = _factor(loss_B, error_BP.square().sum(1))
    if factor is None:
        return None
    num_rows = len(training_targets)
    mean = torch.stack([part.double().sum(0) for part in _parts(training_targets)]).sum(0) / num_rows
    square = sum(float((part.double() - mean).square().sum()) for part in _parts(training_targets))
    return factor * square / num_rows


def _cross_entropy(loss_B: Tensor, outputs: Tensor, targets: Tensor, training_targets: Tensor) -> float | None:
    if outputs.ndim != targets.ndim + 1:
        return None
    for axis in dict.fromkeys((outputs.ndim - 1, 1)):
        logits = outputs.double().movedim(axis, -1)
        num_classes = logits.shape[-1]
        if logits.shape[:-1] != targets.shape or targets.max() >= num_classes:
            continue
        log_p_BPC = logits.log_softmax(-1).reshape(len(loss_B), -1, num_classes)
        found = _entropy_of_labels(loss_B, log_p_BPC, targets.long().reshape(len(loss_B), -1), training_targets)
        if found is not None:
            return found
    return None


def _entropy_of_labels(loss_B: Tensor, log_p_BPC: Tensor, label_BP: Tensor, training_targets: Tensor) -> float | None:
    num_classes = log_p_BPC.shape[2]
    counted_BP = label_BP >= 0
    surprise_BP = -log_p_BPC.gather(2, label_BP.clamp(min=0)[..., None])[..., 0]
    sum_B, count_B = (surprise_BP * counted_BP).sum(1), counted_BP.sum(1)
    of_sum, of_mean = _factor(loss_B, sum_B), _factor(loss_B, sum_B / count_B.clamp(min=1))
    if of_sum is None and of_mean is None:
        return None
    labels = _labels(training_targets, num_classes)
    if labels is None or not labels.are_seen_in(label_BP):
        return None
    if labels.any_left_out:
        if of_sum is not None and of_mean is not None:
            return None  # nothing shows by what the loss divides, nor, without a hole, whether it leaves any out
        if of_mean is not None and labels.any_empty and count_B.all():
            return None  # nothing shows what the mean over no position is
    factor, weight_C = (of_sum, labels.count_C) if of_sum is not None else (of_mean, labels.share_C)
    assert factor is not None
    entropy = float(torch.special.entr(weight_C / weight_C.sum()).sum())
    return factor * entropy * float(weight_C.sum()) / len(training_targets)


@dataclass(frozen=True)
class _Labels:
    """The labels of all training rows.

    Attributes:
        count_C: how often each occurs.
        share_C: its share in the labels of a row, summed over rows.
        any_left_out: whether there is a negative label.
        any_empty: whether a row has no other ones.
    """

    count_C: Tensor
    share_C: Tensor
    any_left_out: bool
    any_empty: bool

    def are_seen_in(self, label_BP: Tensor) -> bool:
        """Whether every common label is among these, since a loss may leave out or weight one that is not."""
        seen_C = torch.zeros(len(self.count_C), dtype=torch.bool)
        seen_C[label_BP[label_BP >= 0]] = True
        return bool((seen_C | (self.count_C <= COMMON * self.count_C.sum())).all())


def _labels(training_targets: Tensor, num_classes: int) -> _Labels | None:
    """The labels of all training rows; None if one of them is no class."""
    count_C = torch.zeros(num_classes, dtype=torch.float64)
    share_C = torch.zeros(num_classes, dtype=torch.float64)
    any_left_out = any_empty = False
    for part in _parts(training_targets):
        label_NP = part.long().reshape(len(part), -1)
        if label_NP.max() >= num_classes:
            return None
        counted_NP = label_NP >= 0
        num_counted_N = counted_NP.sum(1)
        any_left_out |= not counted_NP.all()
        any_empty |= not num_counted_N.all()
        share_NP = (1 / num_counted_N.clamp(min=1).double())[:, None].expand(label_NP.shape)
        count_C += torch.bincount(label_NP[counted_NP], minlength=num_classes)
        share_C += torch.bincount(label_NP[counted_NP], share_NP[counted_NP], minlength=num_classes)
    return _Labels(count_C, share_C, any_left_out, any_empty)


def _parts(training_targets: Tensor) -> Iterator[Tensor]:
    """The rows in parts, since targets may lie in a file that is larger than the memory."""
    for start in range(0, len(training_targets), _ROWS_AT_ONCE):
        yield training_targets[start : start + _ROWS_AT_ONCE]


def _factor(loss_B: Tensor, known_B: Tensor) -> float | None:
    """The constant by which a loss is a known one; None if it is not, or if the samples do not tell."""
    spread = float(known_B.std())
    if not spread > 0 or not torch.isfinite(loss_B).all():
        return None
    factor = float(loss_B @ known_B / (known_B @ known_B))
    equal = float((loss_B - factor * known_B).abs().max()) <= TOLERANCE * abs(factor) * spread
    return factor if equal and factor > 0 else None
