"""Accuracy of a module whose outputs are scores of classes."""

from __future__ import annotations

import torch
from torch import Tensor

from gradstab.probing.trees import Tree


def accuracy_of(outputs: Tree, targets: Tree) -> Tensor:
    """Share of targets that have the largest score, float64; NaN where these are no classes.

    Scores are (B, C) for labels (B,), or (B, T, C) for labels (B, T).
    """
    classes = (
        isinstance(outputs, Tensor)
        and isinstance(targets, Tensor)
        and not targets.is_floating_point()
        and outputs.shape[:-1] == targets.shape
        and outputs.shape[-1] > 1
    )
    if not classes:
        return torch.full((), torch.nan, dtype=torch.float64)
    share: Tensor = (outputs.argmax(-1) == targets).double().mean()
    return share
