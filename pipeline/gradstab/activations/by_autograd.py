"""An activation from a torch function alone: derivatives by autograd, kinks found by search.

This is what stands behind an activation for which nobody has written theory or passes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from gradstab.activations.activation import Activation, Array, Passes, ScalarFunction
from gradstab.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from gradstab.activations.activation import TensorFunction

_REACH, _CELLS, _BISECTIONS = 40.0, 16_000, 40  # where jumps are looked for
_LEAST_JUMP = 1e-5
_SLOPES_REACH, _SLOPES = 12.0, 48_001  # where the largest slope is looked for
_TRIED = (-2.5, -1.0, -0.3, 0.2, 0.7, 1.9)
_FINITE = "must be finite with a finite derivative, but is not between -2.5 and 1.9"


def by_autograd(name: str, function: TensorFunction) -> Activation:
    """The activation of an elementwise torch function; the function is first called when theory or passes are."""
    return Activation(partial(theory_by_autograd, name, function), partial(passes_by_autograd, name, function))


def theory_by_autograd(name: str, function: TensorFunction) -> ScalarFunction:
    """A torch function as theory takes it, in float64, with its kinks.

    Raises:
        UsageError: it jumps, or `require_elementwise` refuses it.
    """
    import torch

    require_elementwise(name, function)

    def phi(u: Array) -> Array:
        with torch.no_grad():
            return np.asarray(function(torch.from_numpy(u)).numpy())

    def derivative(u: Array) -> Array:
        return np.asarray(_slope(function, torch.from_numpy(u)).numpy())

    steps = _jumps(phi)
    if steps:
        _refuse(name, f"must be continuous, but jumps at {steps[0]:.6g}")
    return ScalarFunction(name, phi, derivative, kinks=_jumps(derivative))


def passes_by_autograd(name: str, function: TensorFunction) -> Passes:
    """A torch function as training takes it.

    Raises:
        UsageError: `require_elementwise` refuses it; later, from the passes, when it fails on what it meets there.
    """
    import torch

    require_elementwise(name, function)

    def apply(z: Tensor, out: Tensor) -> None:
        value = _called(name, function, z)
        if value.shape != z.shape or value.dtype != z.dtype:
            _refuse(name, f"must keep shape and type, but made {value.dtype} {tuple(value.shape)} of {tuple(z.shape)}")
        out.copy_(value)

    def backward(delta: Tensor, z: Tensor) -> None:
        # trainings run in inference mode, where autograd sleeps
        with torch.inference_mode(False), torch.enable_grad():
            leaf = z.clone().requires_grad_(True)
            value = _called(name, function, leaf)
            slope = torch.autograd.grad(value, leaf, torch.ones_like(value))[0] if value.requires_grad else leaf * 0
        delta.mul_(slope.detach())

    grid = torch.linspace(-_SLOPES_REACH, _SLOPES_REACH, _SLOPES, dtype=torch.float64)
    slopes = torch.nan_to_num(_slope(function, grid).abs(), nan=0.0, posinf=0.0)
    at_zero = function(torch.zeros(1, dtype=torch.float64))
    return Passes(apply, backward, max_slope=float(slopes.max()), fixes_zero=bool((at_zero == 0).all()))


def require_elementwise(name: str, function: TensorFunction) -> None:
    """Try a function on a few numbers.

    Raises:
        UsageError: it is not elementwise, changes shape, type or its input, is random, constant, not finite, or fails.
    """
    import torch

    try:
        with torch.inference_mode(False):
            _try(name, function, torch.tensor(_TRIED, dtype=torch.float64))
            single = torch.tensor(_TRIED, dtype=torch.float32).view(2, 1, 3)  # as training calls it: a stack
            with torch.no_grad():
                found, expected = function(single.clone()), function(single.double())
            _require_like(name, found, single)
            if not torch.allclose(found.double(), expected, rtol=1e-3, atol=1e-4):
                _refuse(name, "must have about the same values in float32 as in float64")
    except UsageError:
        raise
    except Exception as error:
        _refuse(name, f"must take and return a tensor, but: {type(error).__name__}: {error}")


def _try(name: str, function: TensorFunction, tried: Tensor) -> None:
    import torch

    with torch.no_grad():
        given = tried.clone()
        value = function(given)
        _require_like(name, value, tried)
        again = function(tried.clone())
        one_by_one = [function(tried[index : index + 1].clone()) for index in range(len(tried))]
    if not torch.equal(given, tried):
        _refuse(name, "must leave its input as it is, but changes it")
    if not torch.isfinite(value).all():
        _refuse(name, _FINITE)
    if not torch.equal(value, again) or not torch.allclose(torch.cat(one_by_one), value, rtol=1e-12, atol=0):
        _refuse(name, "must be elementwise and the same at each call, but its values depend on more than one input")
    slope = _slope(function, tried)
    if not torch.isfinite(slope).all():
        _refuse(name, _FINITE)
    if not slope.any():
        _refuse(name, "must depend on its input, but its derivative is zero everywhere it was tried")


def _require_like(name: str, value: object, given: Tensor) -> None:
    from torch import Tensor

    if not isinstance(value, Tensor) or value.shape != given.shape or value.dtype != given.dtype:
        got = f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        kind = str(given.dtype).removeprefix("torch.")
        _refuse(name, f"must map a {kind} tensor to one of the same shape, got {got} for shape {tuple(given.shape)}")


def _called(name: str, function: TensorFunction, z: Tensor) -> Tensor:
    """The function's value during training, where a failure that is not for want of memory is the function's fault."""
    try:
        return function(z)
    except Exception as error:
        if isinstance(error, MemoryError) or "memory" in str(error):
            raise
        _refuse(name, f"must take what training gives it, but: {type(error).__name__}: {error}")


def _slope(function: TensorFunction, u: Tensor) -> Tensor:
    import torch

    with torch.inference_mode(False), torch.enable_grad():
        leaf = u.detach().clone().requires_grad_(True)
        value = function(leaf)
        if not value.requires_grad:
            return torch.zeros_like(leaf)
        (slope,) = torch.autograd.grad(value.sum(), leaf)
        return slope


def _jumps(function: Callable[[Array], Array]) -> tuple[float, ...]:
    """Where a function jumps, 0 left out: the cells over which its change does not fall as they are halved."""
    edge = np.linspace(-_REACH, _REACH, _CELLS + 1)
    low, high = edge[:-1], edge[1:]
    at_low, at_high = function(low), function(high)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        at_middle = function(middle)
        left = np.abs(at_middle - at_low) >= np.abs(at_high - at_middle)
        low, at_low = np.where(left, low, middle), np.where(left, at_low, at_middle)
        high, at_high = np.where(left, middle, high), np.where(left, at_middle, at_high)
    least = _LEAST_JUMP * np.maximum(1.0, np.abs(at_high))
    found = 0.5 * (low + high)[np.abs(at_high - at_low) > least]
    return tuple(float(round(place, 9)) for place in found if abs(place) > 1 / _CELLS)


def _refuse(name: str, must: str) -> NoReturn:
    raise UsageError(" ".join(f"the activation {name} {must}".split())) from None
