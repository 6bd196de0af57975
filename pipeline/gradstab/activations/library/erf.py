"""erf, the error function: like tanh, and its mean-field integrals are known in closed form (Williams 1997)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gradstab.activations.activation import Activation, Passes, ScalarFunction

if TYPE_CHECKING:
    from torch import Tensor

_MAX_SLOPE = 2.0 / math.sqrt(math.pi)


def theory() -> ScalarFunction:
    """phi and its derivative for theory."""
    from scipy.special import erf

    return ScalarFunction("erf", erf, lambda u: _MAX_SLOPE * np.exp(-u * u))


def passes() -> Passes:
    """phi and its derivative for training: phi' does not follow from phi where phi has rounded to 1."""
    import torch

    def apply(z: Tensor, out: Tensor) -> None:
        torch.erf(z, out=out)

    def backward(delta: Tensor, z: Tensor) -> None:
        delta.mul_(torch.square(z).neg_().exp_().mul_(_MAX_SLOPE))

    return Passes(apply, backward, max_slope=_MAX_SLOPE)


ACTIVATION = Activation(theory, passes, keeps_z=True, dear=True)
