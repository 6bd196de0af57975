"""Products with bare parameters: weights that no layer module applies, as in `x @ self.weight`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from gradstab.probing.events import Event, edge_of, is_matrix

_PRODUCTS: set[Callable[..., Any]] = {
    torch.matmul, torch.mm, torch.bmm, torch.mv, torch.addmm, torch.baddbmm, torch.einsum, torch.tensordot,
    Tensor.matmul, Tensor.__matmul__, Tensor.__rmatmul__, Tensor.mm, Tensor.bmm, Tensor.mv, Tensor.addmm,
    functional.linear, functional.bilinear, torch.conv1d, torch.conv2d, torch.conv3d,
    torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d,
}  # fmt: skip
_WITH_VECTORS: set[Callable[..., Any]] = {torch.matmul, torch.mv, Tensor.matmul, Tensor.__matmul__, Tensor.__rmatmul__}
_ELEMENTWISE = {"add", "sub", "mul", "div", "cat", "where", "__add__", "__radd__", "__mul__", "__rmul__", "__iadd__"}


@dataclass(frozen=True)
class _Known:
    """A weight, or a tensor computed from weights alone.

    Attributes:
        name: of the parameter; "" for a buffer and inside a parametrisation.
        tensor: itself, kept because a freed one would hand its id on.
        made_of: ids of the parameters that it was computed from.
        matrix: whether the parameter is a matrix.
    """

    name: str
    tensor: Tensor
    made_of: frozenset[int]
    matrix: bool


class Products(TorchFunctionMode):
    """Records products of an activation with a weight matrix, or with what was computed from weights alone.

    Products inside a layer module belong to that module: `active` holds the weights of the layers now running.
    `elementwise` are parameters that were added or multiplied entry by entry, as position embeddings.
    """

    def __init__(self, own: nn.Module, events: list[Event]) -> None:
        super().__init__()
        self.active: list[set[int]] = []
        self.elementwise: set[str] = set()
        self._events = events
        self._known = {
            id(value): _Known(
                "" if "parametrizations" in name else name, value, frozenset({id(value)}), is_matrix(value)
            )
            for name, value in [*own.named_parameters(), *own.named_buffers()]
        }

    def made_of_weights(self, given: Sequence[Tensor]) -> bool:
        """Whether tensors come from weights alone, as what a layer takes that makes weights for others."""
        return bool(given) and all(id(tensor) in self._known for tensor in given)

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        output = function(*args, **kwargs)
        made = _top_level((output,))
        if made:
            given = _top_level((*args, *kwargs.values()))
            for one in made:
                self._note(function, given, one)
        return output

    def _note(self, function: Callable[..., Any], given: list[Tensor], output: Tensor) -> None:
        known = [self._known[id(tensor)] for tensor in given if id(tensor) in self._known]
        if not known:
            return
        named = [one for one in known if one.name and one.tensor.requires_grad]
        if len(known) == len(given):
            first = next(iter(sorted(named, key=lambda one: not one.matrix)), known[0])
            sources = frozenset().union(*(one.made_of for one in known))
            self._known[id(output)] = _Known(first.name if named else "", output, sources, first.matrix)
        elif getattr(function, "__name__", "") in _ELEMENTWISE:
            self.elementwise.update(one.name for one in named if one.matrix)
        elif output.requires_grad and function in _PRODUCTS:
            factors = [one for one in named if one.tensor.ndim > 1 or function in _WITH_VECTORS]
            inside = any(not one.made_of.isdisjoint(ids) for ids in self.active for one in known)
            if factors and not inside:
                edge = edge_of(output)
                self._events.append(Event(factors[0].name, Tensor, "output", (edge,), tuple(output.shape), layer=True))


def _top_level(values: Iterable[Any]) -> list[Tensor]:
    """The tensors among arguments, and in lists of tensors among them; functions of torch take no deeper trees."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, tuple | list):
            found += [part for part in value if isinstance(part, Tensor)]
    return found
