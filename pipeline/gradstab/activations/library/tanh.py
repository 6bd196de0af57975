"""tanh: odd, and saturates at -1 and 1."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gradstab.activations.activation import SATURATION_FRACTION, Activation, Array, Passes, ScalarFunction, Until

if TYPE_CHECKING:
    from torch import Tensor

    from gradstab.activations.activation import Apply


def sech_squared(u: Array) -> Array:
    """The derivative of tanh, exact in the tails too, where 1 - tanh^2 is all rounding error."""
    decay = np.exp(-2 * np.abs(u))
    return np.asarray(4 * decay / (1 + decay) ** 2)


def theory() -> ScalarFunction:
    """phi and its derivative for theory."""
    return ScalarFunction("tanh", np.tanh, sech_squared)


def passes() -> Passes:
    """phi and its derivative for training: phi' = 1 - a^2.

    On a CPU values come from NumPy, which has vector code of its own for AVX2, AVX-512 and ARM. torch hands tanh to
    MKL, which takes 6 times (AVX-512) and twice (AVX2) as long on an AMD processor. Both are right to 1e-7 of the
    value, however small that is.
    """
    import torch

    def apply(z: Tensor, out: Tensor) -> None:
        if z.is_cpu:
            with np.errstate(all="ignore"):  # a NaN is a result here
                np.tanh(z.numpy(), out=out.numpy())
        else:
            torch.tanh(z, out=out)

    return _passes(apply)


def passes_until_0_2_0() -> Passes:
    """The same with torch's own values everywhere."""
    import torch

    def apply(z: Tensor, out: Tensor) -> None:
        torch.tanh(z, out=out)

    return _passes(apply)


def _passes(apply: Apply) -> Passes:
    import torch

    def backward(delta: Tensor, a: Tensor) -> None:
        torch.ops.aten.tanh_backward.grad_input(delta, a, grad_input=delta)

    def saturation(a: Tensor, out: Tensor) -> None:
        torch.abs(a, out=out).gt_(math.sqrt(1.0 - SATURATION_FRACTION))

    return Passes(apply, backward, saturation=saturation)


ACTIVATION = Activation(theory, passes, keeps_z=False, dear=False, earlier=(Until("0.2.0", passes_until_0_2_0),))
