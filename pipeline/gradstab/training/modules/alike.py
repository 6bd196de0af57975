"""Whether two modules differ in numbers alone, so that one can stand for both."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)
_OWN = frozenset(vars(nn.Module()))  # hooks, parameters and the like, which are compared as such or not at all


def difference(first: nn.Module, second: nn.Module) -> str | None:
    """In what two modules differ besides the numbers in their parameters and buffers, in words; None if in nothing."""
    parts, others = dict(first.named_modules()), dict(second.named_modules())
    if list(parts) != list(others):
        return "modules of equal arguments have other parts"
    found = (_other_part(name, part, others[name]) for name, part in parts.items())
    return next(filter(None, found), None) or _other_numbers(first, second)


def _other_part(name: str, part: nn.Module, other: nn.Module) -> str | None:
    shown = name or "the module"
    if type(part) is not type(other):
        return f"{shown} is a {type(part).__name__} in one member and a {type(other).__name__} in another"
    if part.training != other.training:
        return f"{shown} is in training mode in one member and not in another"
    if told := _differing_attribute(part, other):
        return f"{f'{name}.' if name else ''}{told} differs between members: register it as a buffer"
    return None


def _other_numbers(first: nn.Module, second: nn.Module) -> str | None:
    for what in ("parameters", "buffers"):
        one, two = (dict(getattr(module, f"named_{what}")(remove_duplicate=False)) for module in (first, second))
        if {name: _shape(value) for name, value in one.items()} != {name: _shape(value) for name, value in two.items()}:
            return f"{what} of members differ in name, shape or type"
        if _groups(one) != _groups(two):
            return f"members share other {what} inside them"
    return None


def state(module: nn.Module) -> dict[str, Any]:
    """Attributes of all parts besides parameters and buffers, as what a forward pass may leave behind is noticed."""
    return {
        f"{name}.{key}": value if isinstance(value, _PLAIN) else id(value)
        for name, part in module.named_modules()
        for key, value in vars(part).items()
        if key not in _OWN and isinstance(value, (*_PLAIN, Tensor))
    }


def _differing_attribute(part: nn.Module, other: nn.Module) -> str | None:
    one, two = ({key: value for key, value in vars(each).items() if key not in _OWN} for each in (part, other))
    for key in one.keys() | two.keys():
        if key not in one or key not in two or not _equal(one[key], two[key]):
            return key
    return None


def _equal(one: object, two: object) -> bool:
    """Whether plain values and tensors are equal; of other things only the type is compared."""
    if type(one) is not type(two):
        return False
    if isinstance(one, Tensor) and isinstance(two, Tensor):
        # what autograd computed is the rest of an earlier pass
        return one.grad_fn is not None or (one.shape == two.shape and bool(torch.equal(one, two)))
    if isinstance(one, tuple | list) and isinstance(two, tuple | list):
        return len(one) == len(two) and all(_equal(a, b) for a, b in zip(one, two, strict=True))
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(_equal(one[key], two[key]) for key in one)
    return not isinstance(one, _PLAIN) or one == two or one != one  # noqa: PLR0124 - NaN


def _shape(value: Tensor) -> tuple[object, ...]:
    return tuple(value.shape), value.dtype, value.requires_grad


def _groups(named: dict[str, Tensor]) -> list[list[str]]:
    """Names that stand for the same tensor."""
    found: dict[int, list[str]] = {}
    for name, value in named.items():
        found.setdefault(id(value), []).append(name)
    return sorted(found.values())
