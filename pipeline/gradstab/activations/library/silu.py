"""SiLU, also called swish: phi(z) = z times the sigmoid of z (Ramachandran et al. 2017); not monotonic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradstab.activations.activation import Activation, Passes, ScalarFunction

if TYPE_CHECKING:
    from torch import Tensor


def theory() -> ScalarFunction:
    """phi and its derivative for theory."""
    from scipy.special import expit

    return ScalarFunction("silu", lambda u: u * expit(u), lambda u: expit(u) * (1 + u * expit(-u)))


def passes() -> Passes:
    """phi and its derivative for training."""
    import torch

    def apply(z: Tensor, out: Tensor) -> None:
        torch.ops.aten.silu.out(z, out=out)

    def backward(delta: Tensor, z: Tensor) -> None:
        torch.ops.aten.silu_backward.grad_input(delta, z, grad_input=delta)

    return Passes(apply, backward, max_slope=1.0998393)


ACTIVATION = Activation(theory, passes, keeps_z=True, dear=True)
