"""The eleven nonlinearities and their derivatives, applied in place to whole stacks.

The derivative follows from the activation ``a = phi(z)`` where it can (``z`` is then never kept); four need ``z``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gradstab.study.recipe import Activation

_aten = torch.ops.aten

SATURATION_FRACTION = 0.01  # a unit is saturated where |phi'| is below this fraction of its maximum
_LEAKY_SLOPE = 0.01
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946
_SOFTPLUS_LINEAR_ABOVE = 20.0  # torch's threshold, beyond which softplus is the identity

Apply = Callable[[Tensor, Tensor], None]  # z, out for phi(z); the same tensor where z is not kept
Backward = Callable[[Tensor, Tensor], None]  # delta (times phi', in place), what is kept: z or a = phi(z)


@dataclass(frozen=True)
class Nonlinearity:
    """phi and its derivative.

    Attributes:
        apply: writes phi(z) into out.
        backward: multiplies delta by phi'(z) in place, given z where it is kept and a = phi(z) where it is not.
        max_slope: the largest |phi'|.
        keeps_z: whether `backward` needs z; otherwise a overwrites z.
        fixes_zero: whether phi(0) = 0, so that padded units stay zero by themselves.
        nonnegative: whether phi(z) >= 0 everywhere.
        saturation: marks what is kept as `mark_saturated` does, in fewer passes than from `backward`.
    """

    apply: Apply
    backward: Backward
    max_slope: float = 1.0
    keeps_z: bool = False
    fixes_zero: bool = True
    nonnegative: bool = False
    saturation: Apply | None = None

    def mark_saturated(self, kept: Tensor, out: Tensor) -> None:
        """Write 1 into out where |phi'(z)| is below 1 % of its maximum, 0 elsewhere."""
        if self.saturation is not None:
            self.saturation(kept, out)
            return
        out.fill_(1.0)
        self.backward(out, kept)
        out.abs_().lt_(SATURATION_FRACTION * self.max_slope)


def _linear(z: Tensor, out: Tensor) -> None:
    """The identity: out is z."""
    del z, out


def _linear_backward(delta: Tensor, a: Tensor) -> None:
    """Times 1."""
    del delta, a


def _relu(z: Tensor, out: Tensor) -> None:
    torch.clamp_min(z, 0, out=out)


def _relu_backward(delta: Tensor, a: Tensor) -> None:
    _aten.threshold_backward.grad_input(delta, a, 0, grad_input=delta)


def _relu_saturation(a: Tensor, out: Tensor) -> None:
    torch.le(a, 0, out=out)


def _leaky_relu(z: Tensor, out: Tensor) -> None:
    _aten.leaky_relu.out(z, _LEAKY_SLOPE, out=out)


def _leaky_relu_backward(delta: Tensor, a: Tensor) -> None:
    _aten.leaky_relu_backward.grad_input(delta, a, _LEAKY_SLOPE, True, grad_input=delta)


def _tanh(z: Tensor, out: Tensor) -> None:
    torch.tanh(z, out=out)


def _tanh_backward(delta: Tensor, a: Tensor) -> None:
    _aten.tanh_backward.grad_input(delta, a, grad_input=delta)


def _tanh_saturation(a: Tensor, out: Tensor) -> None:
    torch.abs(a, out=out).gt_(math.sqrt(1.0 - SATURATION_FRACTION))  # phi' = 1 - a^2


def _sigmoid(z: Tensor, out: Tensor) -> None:
    torch.sigmoid(z, out=out)


def _sigmoid_backward(delta: Tensor, a: Tensor) -> None:
    _aten.sigmoid_backward.grad_input(delta, a, grad_input=delta)


def _sigmoid_saturation(a: Tensor, out: Tensor) -> None:
    torch.addcmul(a, a, a, value=-1.0, out=out).lt_(SATURATION_FRACTION / 4)  # phi' = a - a^2, at most 1/4


def _erf(z: Tensor, out: Tensor) -> None:
    torch.erf(z, out=out)


def _erf_backward(delta: Tensor, z: Tensor) -> None:
    delta.mul_(torch.square(z).neg_().exp_().mul_(2.0 / math.sqrt(math.pi)))


def _gelu(z: Tensor, out: Tensor) -> None:
    _aten.gelu.out(z, out=out)


def _gelu_backward(delta: Tensor, z: Tensor) -> None:
    _aten.gelu_backward.grad_input(delta, z, grad_input=delta)


def _silu(z: Tensor, out: Tensor) -> None:
    _aten.silu.out(z, out=out)


def _silu_backward(delta: Tensor, z: Tensor) -> None:
    _aten.silu_backward.grad_input(delta, z, grad_input=delta)


def _selu(z: Tensor, out: Tensor) -> None:
    _aten.elu.out(z, _SELU_ALPHA, _SELU_SCALE, 1.0, out=out)


def _selu_backward(delta: Tensor, a: Tensor) -> None:
    _aten.elu_backward.grad_input(delta, _SELU_ALPHA, _SELU_SCALE, 1.0, True, a, grad_input=delta)


def _elu(z: Tensor, out: Tensor) -> None:
    _aten.elu.out(z, 1.0, 1.0, 1.0, out=out)


def _elu_backward(delta: Tensor, a: Tensor) -> None:
    _aten.elu_backward.grad_input(delta, 1.0, 1.0, 1.0, True, a, grad_input=delta)


def _softplus(z: Tensor, out: Tensor) -> None:
    _aten.softplus.out(z, 1, _SOFTPLUS_LINEAR_ABOVE, out=out)


def _softplus_backward(delta: Tensor, z: Tensor) -> None:
    _aten.softplus_backward.grad_input(delta, z, 1, _SOFTPLUS_LINEAR_ABOVE, grad_input=delta)


NONLINEARITIES: dict[Activation, Nonlinearity] = {
    "linear": Nonlinearity(_linear, _linear_backward),
    "relu": Nonlinearity(_relu, _relu_backward, nonnegative=True, saturation=_relu_saturation),
    "leaky_relu": Nonlinearity(_leaky_relu, _leaky_relu_backward),
    "tanh": Nonlinearity(_tanh, _tanh_backward, saturation=_tanh_saturation),
    "sigmoid": Nonlinearity(
        _sigmoid, _sigmoid_backward, 0.25, fixes_zero=False, nonnegative=True, saturation=_sigmoid_saturation
    ),
    "erf": Nonlinearity(_erf, _erf_backward, max_slope=2.0 / math.sqrt(math.pi), keeps_z=True),
    "gelu": Nonlinearity(_gelu, _gelu_backward, max_slope=1.1289041, keeps_z=True),
    "silu": Nonlinearity(_silu, _silu_backward, max_slope=1.0998393, keeps_z=True),
    "selu": Nonlinearity(_selu, _selu_backward, max_slope=_SELU_ALPHA * _SELU_SCALE),
    "elu": Nonlinearity(_elu, _elu_backward),
    "softplus": Nonlinearity(_softplus, _softplus_backward, keeps_z=True, fixes_zero=False, nonnegative=True),
}
