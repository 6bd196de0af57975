"""Which weights of a module a factor multiplies: those of two and more dimensions inside modules that are named."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from gradstab.probing.name_patterns import name_pattern

_COMPILED = "_orig_mod"  # the part of a name that `torch.compile` adds
_NORMALISATIONS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, _NormBase)  # their weights may have the shape of an image
_LENGTHS = ("weight_g", "parametrizations.weight.original0")  # of weight_norm: the length of a weight


def scale_weights(module: nn.Module, factor: float, owners: Sequence[str], patterns: Sequence[str] = ()) -> list[str]:
    """Multiply the weights of two and more dimensions inside the owners, or inside the modules that patterns name.

    A weight that several modules share is multiplied once.

    Returns:
        Names of the weights that were multiplied.
    """
    chosen = weights_to_scale(module, owners, patterns)
    with torch.no_grad():
        for weight in chosen.values():
            weight.mul_(factor)
    return list(chosen)


def weights_to_scale(module: nn.Module, owners: Sequence[str], patterns: Sequence[str] = ()) -> dict[str, nn.Parameter]:
    """The weights that `scale_weights` multiplies, by name."""
    aliases = parameter_aliases(module)
    expressions = [name_pattern(pattern) for pattern in patterns]

    def is_chosen(name: str) -> bool:
        parts = [part for part in name.split(".") if part != _COMPILED]
        if not expressions:
            return any(is_inside(".".join(parts), owner) for owner in owners)
        return any(one.fullmatch(".".join(parts[:end])) for one in expressions for end in range(1, len(parts) + 1))

    normalising = {
        id(weight)
        for part in module.modules()
        if isinstance(part, _NORMALISATIONS)
        for weight in part.parameters(recurse=False)
    }
    return {
        name: weight
        for name, weight in module.named_parameters()
        if (weight.ndim > 1 or (weight.ndim == 0 and name.endswith(_LENGTHS)))
        and id(weight) not in normalising
        and any(map(is_chosen, aliases[name]))
    }


def parameter_aliases(module: nn.Module) -> dict[str, list[str]]:
    """All names of each parameter, by the first one."""
    first: dict[int, str] = {}
    found: dict[str, list[str]] = {}
    for name, value in module.named_parameters(remove_duplicate=False):
        found.setdefault(first.setdefault(id(value), name), []).append(name)
    return found


def is_inside(name: str, owner: str) -> bool:
    """Whether a parameter is the owner itself, or lies inside the module of that name."""
    return name == owner or name.startswith(f"{owner}.") or owner == ""
