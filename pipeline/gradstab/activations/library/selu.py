"""SELU: ELU scaled so that wide networks keep mean 0 and variance 1 (Klambauer et al. 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradstab.activations.activation import Activation, Passes, ScalarFunction

if TYPE_CHECKING:
    from torch import Tensor

_ALPHA = 1.6732632423543772848170429916717
_SCALE = 1.0507009873554804934193349852946


def theory() -> ScalarFunction:
    """phi and its derivative for theory."""
    return ScalarFunction(
        "selu",
        lambda u: _SCALE * np.where(u > 0, u, _ALPHA * np.expm1(np.minimum(u, 0))),
        lambda u: _SCALE * np.where(u > 0, 1.0, _ALPHA * np.exp(np.minimum(u, 0))),
    )


def passes() -> Passes:
    """phi and its derivative for training: phi' = a + scale * alpha below 0."""
    import torch

    def apply(z: Tensor, out: Tensor) -> None:
        torch.ops.aten.elu.out(z, _ALPHA, _SCALE, 1.0, out=out)

    def backward(delta: Tensor, a: Tensor) -> None:
        torch.ops.aten.elu_backward.grad_input(delta, _ALPHA, _SCALE, 1.0, True, a, grad_input=delta)

    return Passes(apply, backward, max_slope=_ALPHA * _SCALE)


ACTIVATION = Activation(theory, passes, keeps_z=False, dear=True)
