"""Run a model in float64, whatever types its code names; deep networks would underflow float32."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gradstab.probing.trees import Tree, map_tensors, tensors

Types = Mapping[torch.dtype, torch.dtype]

FLOAT64: Types = {
    torch.float32: torch.float64,
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.complex64: torch.complex128,
}
OWN: Types = {}

_CASTS = {Tensor.float, Tensor.half, Tensor.bfloat16}


def lifted(tree: Tree, types: Types) -> Tree:
    """The tree on detached copies of its tensors, in the types asked for."""
    return map_tensors(lambda tensor: tensor.detach().clone().to(types.get(tensor.dtype, tensor.dtype)), tree)


class Lifting(TorchFunctionMode):
    """Replaces the types that calls name, and lifts constants of a lower type where a call refuses the mixture.

    It must be on in the backward pass too, because checkpoints run the forward pass again there.
    """

    def __init__(self, types: Types) -> None:
        super().__init__()
        self._types = types

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if not self._types:
            return function(*args, **kwargs)
        if function in _CASTS:
            return Tensor.double(args[0])
        args = tuple(self._type(value) for value in args)
        kwargs = {name: self._type(value) for name, value in kwargs.items()}
        try:
            return function(*args, **kwargs)
        except (RuntimeError, TypeError):
            if all(tensor.dtype not in self._types for tensor in tensors((args, kwargs))):
                raise
            args, kwargs = map_tensors(self._wide, (args, kwargs))
            return function(*args, **kwargs)

    def _type(self, value: Any) -> Any:
        return self._types.get(value, value) if isinstance(value, torch.dtype) else value

    def _wide(self, tensor: Tensor) -> Tensor:
        wide = self._types.get(tensor.dtype)
        return tensor if wide is None else tensor.to(wide)


@contextlib.contextmanager
def default_type(types: Types) -> Iterator[None]:
    """Let code that names no type, as `torch.zeros(3)`, make tensors of the type asked for."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(types.get(default, default))
    try:
        yield
    finally:
        torch.set_default_dtype(default)
