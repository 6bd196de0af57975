"""Products with bare parameters: weights that no layer module applies, as in `x @ self.weight`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
_ELEMENTWISE = {"add", "sub", "mul", "div", "cat", "where", "__add__", "__radd__", "__mul__", "__rmul__", "__iadd__"}


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
        constants = [*own.named_parameters(), *own.named_buffers()]
        # computed tensors are kept, because a freed one would hand its id on
        self._from_weights: dict[int, tuple[str, Tensor]] = {
            id(value): (name if is_matrix(value) and "parametrizations" not in name else "", value)
            for name, value in constants
        }

    def made_of_weights(self, given: Sequence[Tensor]) -> bool:
        """Whether tensors come from weights alone, as what a layer takes that makes weights for others."""
        return bool(given) and all(id(tensor) in self._from_weights for tensor in given)

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
        known = [self._from_weights[id(tensor)] for tensor in given if id(tensor) in self._from_weights]
        if not known:
            return
        name = next((name for name, value in known if name and value.requires_grad), "")
        if len(known) == len(given):
            self._from_weights[id(output)] = (name, output)
        elif name and getattr(function, "__name__", "") in _ELEMENTWISE:
            self.elementwise.add(name)
        elif (
            name
            and output.requires_grad
            and function in _PRODUCTS
            and not any(id(tensor) in ids for ids in self.active for tensor in given)
        ):
            edge = edge_of(output)
            self._events.append(Event(name, Tensor, "output", (edge,), tuple(output.shape), layer=True))


def _top_level(values: Iterable[Any]) -> list[Tensor]:
    """The tensors among arguments, and in lists of tensors among them; functions of torch take no deeper trees."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, tuple | list):
            found += [part for part in value if isinstance(part, Tensor)]
    return found
