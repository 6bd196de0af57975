"""The statistics that a module's taps have: their names in the registry, and how each follows from what was read.

Shapes: L tap, n member, s section of the parameters.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from gradstab.record.statistics.layers import log10_magnitude
from gradstab.training.modules.parameters import Placed

_NORM, _LARGEST, _ZEROS = "log10_delta_norm", "log10_delta_max", "delta_zero_fraction"
_WEIGHTS, _BIASES = "log10_weight_grad_norm", "log10_bias_grad_norm"
_MEAN_SQUARE, _COSINE, _DEAD = "log10_activation_ms", "activation_cosine", "dead_fraction"

OF_A_PASS = (_NORM, _LARGEST, _ZEROS, _MEAN_SQUARE, _COSINE, _DEAD)
GROW_WITH_THE_LOSS = (_NORM, _LARGEST, _WEIGHTS, _BIASES)  # by log10 of a factor on it


def pass_values(
    norms: Tensor, largest: Tensor, zeros: Tensor, shown: tuple[Tensor, Tensor, Tensor], num_samples: int
) -> dict[str, Tensor]:
    """The statistics that one pass forward and backward shows.

    Args:
        norms, largest, zeros: norm, largest entry and share of exact zeros of the gradient of the mean loss.
        shown: mean square, cosine and dead fraction of the values at the taps.
    """
    mean_square, cosine, dead = shown
    return {
        **gradient_values(norms, largest, num_samples),
        _ZEROS: zeros,
        _MEAN_SQUARE: log10_or_nan(mean_square),
        _COSINE: cosine,
        _DEAD: dead,
    }


def gradient_values(norms: Tensor, largest: Tensor, num_samples: int) -> dict[str, Tensor]:
    """The statistics that follow from norms and largest entries of the gradient of the mean loss."""
    log10_B = float(np.log10(num_samples))
    return {_NORM: log10_or_nan(norms) + log10_B / 2, _LARGEST: log10_or_nan(largest) + log10_B}


def parameter_values(placed: Placed, norm_sn: Tensor) -> dict[str, Tensor]:
    """Norms (L, n) of the gradient by the parameters inside each tap, from those by section."""
    return {
        _WEIGHTS: log10_or_nan(placed.weight_norms(norm_sn)),
        _BIASES: log10_or_nan(placed.bias_norms(norm_sn)),
    }


def sizes(values: Mapping[str, Tensor]) -> Tensor:
    """log10 of the gradient's size at each tap."""
    return values[_NORM]


def hidden(values: Mapping[str, Tensor]) -> Tensor:
    """Whether every tap's gradient is exactly zero, as behind a readout of zeros: one answer, or one a member (n,)."""
    return (values[_NORM] == -torch.inf).all(0)


def log10_or_nan(norm: Tensor) -> Tensor:
    """log10 of norms; NaN where nothing was read."""
    return torch.where(torch.isnan(norm), torch.nan, log10_magnitude(norm))
