"""A person's own activation, given as `module:function`, made into what theory takes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from gradstab.errors import UsageError
from gradstab.theory.scalar_functions import Array, ScalarFunction

_REACH, _CELLS, _BISECTIONS = 40.0, 16_000, 40  # where jumps are looked for
_LEAST_JUMP = 1e-5
_FINITE = "must be finite with a finite derivative, but is not between -2.5 and 1.9"
_TRIED = torch.tensor([-2.5, -1.0, -0.3, 0.2, 0.7, 1.9], dtype=torch.float64)

TensorFunction = Callable[[Tensor], Tensor]


def user_function(path: str) -> ScalarFunction:
    """The elementwise torch function at an import path, with its derivative by autograd, in float64.

    A class of modules (`torch.nn:Mish`) is called without arguments first. Modules of the working directory are found.

    Raises:
        UsageError: there is none, or it is no elementwise, differentiable function of finite values.
    """
    function = _checked(path, _imported(path))

    def phi(u: Array) -> Array:
        with torch.no_grad():
            return np.asarray(function(torch.from_numpy(u)).numpy())

    def derivative(u: Array) -> Array:
        return np.asarray(_derivative(function, torch.from_numpy(u)).numpy())

    steps = _jumps(phi)
    if steps:
        _refuse(path, f"must be continuous, but jumps at {steps[0]:.6g}")
    return ScalarFunction(path, phi, derivative, kinks=_jumps(derivative))


def _jumps(function: Callable[[Array], Array]) -> tuple[float, ...]:
    """Where a function jumps, 0 left out: cells over which its change does not fall as they are halved."""
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


def _imported(path: str) -> TensorFunction:
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        _refuse(path, "must be written module:function")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: object = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
        if isinstance(found, type) and issubclass(found, nn.Module):
            found = found()
    except Exception as error:  # a module of one's own may raise anything
        _refuse(path, f"must be importable, but: {type(error).__name__}: {error}")
    if not callable(found):
        _refuse(path, f"must be a function, got {type(found).__name__}")
    if isinstance(found, nn.Module):
        found.double()
    return found


def _checked(path: str, function: TensorFunction) -> TensorFunction:
    """The function, if it is elementwise, differentiable, and the same each time."""
    try:
        with torch.no_grad():
            value, again = function(_TRIED.clone()), function(_TRIED.clone())
            one_by_one = [function(_TRIED[index : index + 1].clone()) for index in range(len(_TRIED))]
        if not isinstance(value, Tensor) or value.shape != _TRIED.shape or value.dtype != torch.float64:
            got = f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            _refuse(path, f"must map a float64 tensor to one of the same shape, got {got} for shape (6,)")
        if not torch.isfinite(value).all():
            _refuse(path, _FINITE)
        if not torch.equal(value, again) or not torch.allclose(torch.cat(one_by_one), value, rtol=1e-12, atol=0):
            _refuse(path, "must be elementwise and the same at each call, but its values depend on more than one input")
        slope = _derivative(function, _TRIED)
    except UsageError:
        raise
    except Exception as error:
        _refuse(path, f"must take and return a tensor, but: {type(error).__name__}: {error}")
    if not torch.isfinite(slope).all():
        _refuse(path, _FINITE)
    if not slope.any():
        _refuse(path, "must depend on its input, but its derivative is zero everywhere it was tried")
    return function


def _derivative(function: TensorFunction, u: Tensor) -> Tensor:
    leaf = u.detach().clone().requires_grad_(True)
    value = function(leaf)
    if not value.requires_grad:
        return torch.zeros_like(leaf)
    (slope,) = torch.autograd.grad(value.sum(), leaf)
    return slope


def _refuse(path: str, must: str) -> NoReturn:
    raise UsageError(" ".join(f"--activation {path} {must}".split())) from None
