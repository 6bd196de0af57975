"""Dead and saturated units: how an activation meets the numbers that it is given, read when it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from gradstab.activations.activation import SATURATION_FRACTION
from gradstab.probing.events import edge_of
from gradstab.probing.graph import Vertex, vertex_of

Function = Callable[..., Any]

_ELEMENT_BY_ELEMENT: set[Function] = {
    torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, functional.relu, functional.relu6,
    torch.tanh, torch.tanh_, Tensor.tanh, Tensor.tanh_, functional.tanh, torch.erf, Tensor.erf,
    torch.sigmoid, torch.sigmoid_, Tensor.sigmoid, Tensor.sigmoid_, functional.sigmoid,
    functional.gelu, functional.silu, functional.mish, functional.softplus, functional.softsign, functional.logsigmoid,
    functional.elu, functional.elu_, functional.selu, functional.selu_, functional.celu, functional.celu_,
    functional.leaky_relu, functional.leaky_relu_, functional.hardtanh, functional.hardtanh_,
    functional.hardsigmoid, functional.hardswish,
}  # fmt: skip
_GRID = torch.linspace(-20, 20, 4001, dtype=torch.float64)  # where the largest slope is looked for


@dataclass(frozen=True)
class Activated:
    """What one activation did.

    Attributes:
        dead: fraction of units whose activation is zero on every sample.
        saturated: fraction of (sample, unit) at which |phi'| is below 1 % of its maximum.
    """

    dead: float
    saturated: float


class Activations(TorchFunctionMode):
    """Reads what activations do, for the tensors that they take and return.

    Samples lie along the first axis.

    Attributes:
        found: by vertex of the graph; of a tensor that several activations take, what the last one did.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[Vertex, Activated] = {}
        self._largest: dict[Any, float] = {}

    def __torch_function__(
        self, function: Function, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if function not in _ELEMENT_BY_ELEMENT:
            return function(*args, **kwargs)
        z, *settings = args if args else (kwargs.pop("input"),)
        if not z.requires_grad or z.is_complex() or not z.ndim or not z.numel():
            return function(z, *settings, **kwargs)
        taken, told = vertex_of(edge_of(z)), self._told(function, z, settings, kwargs)
        output = function(z, *settings, **kwargs)  # which may write over z
        self.found[taken] = self.found[vertex_of(edge_of(output))] = told
        return output

    def _told(self, function: Function, z: Tensor, settings: list[Any], named: dict[str, Any]) -> Activated:
        key = (function, tuple(settings), tuple(named.items()))
        if key not in self._largest:
            self._largest[key] = float(_applied(function, _GRID, settings, named)[1].max())
        activation, slope = _applied(function, z, settings, named)
        dead_U = (activation == 0).flatten(1).all(0) if activation.ndim > 1 else activation == 0
        saturated = slope < SATURATION_FRACTION * self._largest[key]
        return Activated(float(dead_U.double().mean()), float(saturated.double().mean()))


def _applied(function: Function, z: Tensor, settings: list[Any], named: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """phi(z) and |phi'(z)|, which touch nothing."""
    # hooks of its own, so that a checkpoint round the activation does not count what is saved here
    with torch.enable_grad(), saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor):
        leaf = z.detach().clone().requires_grad_(True)
        activation = function(leaf.clone(), *settings, **named)  # a clone, which may be written over
        (slope,) = torch.autograd.grad(activation, leaf, torch.ones_like(activation))
    return activation.detach(), slope.abs()
