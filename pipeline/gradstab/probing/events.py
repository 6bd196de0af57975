"""What happened in a forward pass: the tensors that could be positions, as edges of the autograd graph."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from gradstab.probing.summary import Summary

Role = Literal["output", "input", "state", "step input"]


@dataclass(frozen=True, eq=False)
class Event:
    """One tensor, or the tensors of one state, seen during a forward pass.

    Attributes:
        name: of the module in the model, or of the bare parameter in a product.
        kind: what groups alike modules: the class, with the depth of its name for nn.Sequential.
        role: whether the module returned it, took it, or it is the state or the input of a time step.
        edges: where its gradient is read; an edge keeps the value before any later write in place.
        shape: of the first tensor.
        layer: whether the module owns a weight of two or more dimensions itself.
        block: whether modules inside it own such weights.
        summary: what the values themselves show, where that was asked for.
    """

    name: str
    kind: Hashable
    role: Role
    edges: tuple[GradientEdge, ...]
    shape: tuple[int, ...] = ()
    layer: bool = False
    block: bool = False
    summary: Summary | None = None

    @property
    def pattern(self) -> str:
        """The name with every number replaced by #: the same class at like places."""
        return re.sub(r"\d+", "#", self.name)


def kind_of(name: str) -> str:
    """The name with the number of its block replaced by #: `h.3.mlp.0` is `h.#.mlp.0`, `fc2` is `fc#`."""
    numbered = re.sub(r"(^|\.)\d+(?=\.|$)", r"\1#", name, count=1)
    return numbered if numbered != name else re.sub(r"\d+", "#", name, count=1)


def edge_of(tensor: Tensor) -> GradientEdge:
    """The place in the autograd graph where the gradient by the tensor, as it is now, arrives."""
    return get_gradient_edge(tensor)


def matrix_size(part: nn.Module, *, inside: bool) -> int:
    """Number of weights in matrices that the module owns, with those of modules inside it if asked."""
    return sum(weight.numel() for weight in part.parameters(recurse=inside) if is_matrix(weight))


def is_matrix(weight: Tensor) -> bool:
    """Whether at least two axes are longer than one."""
    return sum(size > 1 for size in weight.shape) >= 2
