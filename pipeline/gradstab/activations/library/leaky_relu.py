"""Leaky ReLU: phi(z) = z above 0 and z / 100 below."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradstab.activations.activation import Activation, Passes, ScalarFunction

if TYPE_CHECKING:
    from torch import Tensor

_SLOPE = 0.01  # torch's default


def theory() -> ScalarFunction:
    """phi and its derivative for theory."""
    return ScalarFunction(
        "leaky_relu", lambda u: np.where(u > 0, u, _SLOPE * u), lambda u: np.where(u > 0, 1.0, _SLOPE)
    )


def passes() -> Passes:
    """phi and its derivative for training."""
    import torch

    def apply(z: Tensor, out: Tensor) -> None:
        torch.ops.aten.leaky_relu.out(z, _SLOPE, out=out)

    def backward(delta: Tensor, a: Tensor) -> None:
        torch.ops.aten.leaky_relu_backward.grad_input(delta, a, _SLOPE, True, grad_input=delta)

    return Passes(apply, backward)


ACTIVATION = Activation(theory, passes, keeps_z=False, dear=False)
