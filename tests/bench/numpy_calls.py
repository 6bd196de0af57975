"""What torch's counters do not see: the functions of NumPy that training calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch.utils.flop_counter import FlopCounterMode


class Flops:
    """Operations of matrix products, torch's and NumPy's; final once the context has ended."""

    def __init__(self) -> None:
        self.total = 0


@contextmanager
def counted_flops() -> Iterator[Flops]:
    """Count the operations of all matrix products within the context."""
    flops = Flops()

    def count(matmul: Callable[..., Any]) -> Callable[..., Any]:
        def counted(left: Any, right: Any, **named: Any) -> Any:
            found = matmul(left, right, **named)
            if right.ndim > 1:  # with a vector it is a sum of rows
                flops.total += 2 * found.size * left.shape[-1]
            return found

        return counted

    with FlopCounterMode(display=False) as torchs, replaced("matmul", count):
        yield flops
    flops.total += torchs.get_total_flops()


@contextmanager
def replaced(name: str, by: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """Put something in the place of a function of NumPy while the context lasts."""
    function = getattr(np, name)
    setattr(np, name, by(function))
    try:
        yield
    finally:
        setattr(np, name, function)
