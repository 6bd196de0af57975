"""ELU: phi(z) = z above 0 and exp(z) - 1 below (Clevert et al. 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradstab.activations.activation import Activation, Passes, ScalarFunction

if TYPE_CHECKING:
    from torch import Tensor


def theory() -> ScalarFunction:
    """phi and its derivative for theory."""
    return ScalarFunction(
        "elu",
        lambda u: np.where(u > 0, u, np.expm1(np.minimum(u, 0))),
        lambda u: np.where(u > 0, 1.0, np.exp(np.minimum(u, 0))),
    )


def passes() -> Passes:
    """phi and its derivative for training: phi' = 1 + a below 0."""
    import torch

    def apply(z: Tensor, out: Tensor) -> None:
        torch.ops.aten.elu.out(z, 1.0, 1.0, 1.0, out=out)

    def backward(delta: Tensor, a: Tensor) -> None:
        torch.ops.aten.elu_backward.grad_input(delta, 1.0, 1.0, 1.0, True, a, grad_input=delta)

    return Passes(apply, backward)


ACTIVATION = Activation(theory, passes, keeps_z=False, dear=True)
