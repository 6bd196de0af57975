"""GELU: phi(z) = z times the normal distribution function of z (Hendrycks & Gimpel 2016); not monotonic."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gradstab.activations.activation import Activation, Array, Passes, ScalarFunction

if TYPE_CHECKING:
    from torch import Tensor


def theory() -> ScalarFunction:
    """phi and its derivative for theory."""
    from scipy.special import ndtr

    def density(u: Array) -> Array:
        return np.asarray(np.exp(-0.5 * u * u) / math.sqrt(2 * math.pi))

    return ScalarFunction("gelu", lambda u: u * ndtr(u), lambda u: ndtr(u) + u * density(u))


def passes() -> Passes:
    """phi and its derivative for training."""
    import torch

    def apply(z: Tensor, out: Tensor) -> None:
        torch.ops.aten.gelu.out(z, out=out)

    def backward(delta: Tensor, z: Tensor) -> None:
        torch.ops.aten.gelu_backward.grad_input(delta, z, grad_input=delta)

    return Passes(apply, backward, max_slope=1.1289041)


ACTIVATION = Activation(theory, passes, keeps_z=True, dear=True)
