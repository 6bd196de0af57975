"""Softplus: phi(z) = ln(1 + exp(z)), a smooth ReLU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradstab.activations.activation import Activation, Passes, ScalarFunction

if TYPE_CHECKING:
    from torch import Tensor

_LINEAR_ABOVE = 20.0  # torch takes softplus for the identity from here on


def theory() -> ScalarFunction:
    """phi and its derivative for theory."""
    from scipy.special import expit

    return ScalarFunction("softplus", lambda u: np.logaddexp(0, u), expit)


def passes() -> Passes:
    """phi and its derivative for training."""
    import torch

    def apply(z: Tensor, out: Tensor) -> None:
        torch.ops.aten.softplus.out(z, 1, _LINEAR_ABOVE, out=out)

    def backward(delta: Tensor, z: Tensor) -> None:
        torch.ops.aten.softplus_backward.grad_input(delta, z, 1, _LINEAR_ABOVE, grad_input=delta)

    return Passes(apply, backward, fixes_zero=False, nonnegative=True)


ACTIVATION = Activation(theory, passes, keeps_z=True, dear=True)
