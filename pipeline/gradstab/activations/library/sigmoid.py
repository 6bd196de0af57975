"""Sigmoid: phi(z) = 1 / (1 + exp(-z)), whose derivative is 1/4 at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradstab.activations.activation import SATURATION_FRACTION, Activation, Passes, ScalarFunction
from gradstab.activations.library.tanh import sech_squared

if TYPE_CHECKING:
    from torch import Tensor

_MAX_SLOPE = 0.25


def theory() -> ScalarFunction:
    """phi and its derivative for theory."""
    from scipy.special import expit

    return ScalarFunction("sigmoid", expit, lambda u: _MAX_SLOPE * sech_squared(u / 2))


def passes() -> Passes:
    """phi and its derivative for training: phi' = a - a^2."""
    import torch

    def apply(z: Tensor, out: Tensor) -> None:
        torch.sigmoid(z, out=out)

    def backward(delta: Tensor, a: Tensor) -> None:
        torch.ops.aten.sigmoid_backward.grad_input(delta, a, grad_input=delta)

    def saturation(a: Tensor, out: Tensor) -> None:
        torch.addcmul(a, a, a, value=-1.0, out=out).lt_(SATURATION_FRACTION * _MAX_SLOPE)

    return Passes(apply, backward, _MAX_SLOPE, fixes_zero=False, nonnegative=True, saturation=saturation)


ACTIVATION = Activation(theory, passes, keeps_z=False, dear=False)
