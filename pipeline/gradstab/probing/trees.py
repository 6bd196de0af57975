"""Tensors inside whatever a module takes and returns: tuples, dicts, registered pytrees, dataclasses."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

Tree = Any


def tensors(tree: Tree) -> list[Tensor]:
    """Every tensor of a tree, in order."""
    found: list[Tensor] = []
    for leaf in tree_flatten(tree)[0]:
        if isinstance(leaf, Tensor):
            found.append(leaf)
        elif _is_dataclass_object(leaf):
            found += tensors([getattr(leaf, field.name) for field in dataclasses.fields(leaf)])
    return found


def map_tensors(change: Callable[[Tensor], Tensor], tree: Tree) -> Tree:
    """A copy of the tree with every tensor changed."""

    def changed(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return change(leaf)
        if _is_dataclass_object(leaf):
            replica = copy.copy(leaf)
            for field in dataclasses.fields(leaf):
                object.__setattr__(replica, field.name, map_tensors(change, getattr(leaf, field.name)))
            return replica
        return leaf

    return tree_map(changed, tree)


def differentiable(tree: Tree) -> list[Tensor]:
    """The tensors of a tree that require a gradient."""
    return [tensor for tensor in tensors(tree) if tensor.requires_grad]


def _is_dataclass_object(leaf: Any) -> bool:
    return dataclasses.is_dataclass(leaf) and not isinstance(leaf, type)
