"""Tensors inside whatever a module takes and returns: pytrees, and objects that hold tensors as attributes."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

Tree = Any

_DEEPEST = 3  # objects inside objects


def tensors(tree: Tree, depth: int = 0) -> list[Tensor]:
    """Every tensor of a tree, in order."""
    found: list[Tensor] = []
    for leaf in tree_flatten(tree)[0]:
        if isinstance(leaf, Tensor):
            found.append(leaf)
        elif depth < _DEEPEST:
            found += tensors(_members(leaf), depth + 1)
    return found


def map_tensors(change: Callable[[Tensor], Tensor], tree: Tree, depth: int = 0) -> Tree:
    """A copy of the tree with every tensor changed; objects without tensors stay the same ones."""

    def changed(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return change(leaf)
        members = _members(leaf) if depth < _DEEPEST else {}
        if not tensors(members, depth + 1):
            return leaf
        replica = copy.copy(leaf)
        for name, value in members.items():
            new = map_tensors(change, value, depth + 1)
            if isinstance(leaf, Mapping):
                replica[name] = new
            else:
                object.__setattr__(replica, name, new)
        return replica

    return tree_map(changed, tree)


def differentiable(tree: Tree) -> list[Tensor]:
    """The tensors of a tree that require a gradient."""
    return [tensor for tensor in tensors(tree) if tensor.requires_grad]


def _members(leaf: Any) -> dict[str, Any]:
    """Items of a mapping that is no registered pytree, or attributes of an object, as of a dataclass."""
    if isinstance(leaf, Mapping):
        return dict(leaf)
    if isinstance(leaf, nn.Module | type) or callable(leaf):
        return {}
    fields = dataclasses.fields(leaf) if dataclasses.is_dataclass(leaf) else ()  # which may lie in slots
    held = {field.name: getattr(leaf, field.name) for field in fields if hasattr(leaf, field.name)}
    return held | dict(getattr(leaf, "__dict__", {}))
