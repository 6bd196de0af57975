"""`gradstab.scale_`: an initial scale that a study found, applied to a module in one's own code."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradstab.errors import UsageError
from gradstab.probing.copies import bare_module
from gradstab.probing.scaled_weights import scale_weights

if TYPE_CHECKING:
    from torch import nn


def scale_(module: nn.Module, factor: float, names: str | Sequence[str]) -> nn.Module:
    """Multiply the weights of two and more dimensions inside the named modules, in place, as `weight_scale` does.

    A weight that several modules share is multiplied once. Biases and the weights of normalisations stay.

    Args:
        module: the network, after it was initialised.
        factor: the weight scale; 1 changes nothing.
        names: patterns of module names, where * stands for one part: "blocks.*". `gradstab check` prints the taps of
            a study, which are the modules that a study scales by itself; `find_weight_scale` returns names and factor.

    Returns:
        The same module.

    Raises:
        UsageError: the factor is not a positive number, or the names match no weight.
    """
    if not (isinstance(factor, int | float) and math.isfinite(factor) and factor > 0):
        raise UsageError(f"factor must be a positive number, got {factor!r}")
    patterns = [names] if isinstance(names, str) else list(names)
    inner = bare_module(module)
    if not patterns or not scale_weights(inner, factor, (), patterns):
        known = ", ".join(name for name, _ in inner.named_modules() if name)
        raise UsageError(f"names must match modules with weights, got {names!r}; the modules are {known[:300]}")
    return module
