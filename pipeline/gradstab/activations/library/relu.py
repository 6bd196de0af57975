"""ReLU: phi(z) = max(z, 0)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradstab.activations.activation import Activation, Passes, ScalarFunction

if TYPE_CHECKING:
    from torch import Tensor


def theory() -> ScalarFunction:
    """phi and its derivative for theory."""
    return ScalarFunction("relu", lambda u: np.maximum(u, 0), lambda u: np.where(u > 0, 1.0, 0.0))


def passes() -> Passes:
    """phi and its derivative for training."""
    import torch

    def apply(z: Tensor, out: Tensor) -> None:
        torch.clamp_min(z, 0, out=out)

    def backward(delta: Tensor, a: Tensor) -> None:
        torch.ops.aten.threshold_backward.grad_input(delta, a, 0, grad_input=delta)

    def saturation(a: Tensor, out: Tensor) -> None:
        torch.le(a, 0, out=out)

    return Passes(apply, backward, nonnegative=True, saturation=saturation)


ACTIVATION = Activation(theory, passes, keeps_z=False, dear=False)
