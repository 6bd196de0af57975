"""Global switches of torch as the measurement needs them, put back afterwards."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.utils.checkpoint

from gradstab.probing.randomness import generators_restored


@contextlib.contextmanager
def measuring_conditions() -> Iterator[None]:
    """Gradients on, compiled code run eagerly, reentrant checkpoints as plain calls, generators restored at the end."""
    with contextlib.ExitStack() as conditions:
        conditions.enter_context(torch.inference_mode(False))
        conditions.enter_context(torch.enable_grad())
        conditions.enter_context(generators_restored())
        conditions.enter_context(_plain_checkpoints())
        if "torch._dynamo" in sys.modules:  # nothing is compiled without it, and importing it takes a second
            conditions.enter_context(torch.compiler.set_stance("force_eager"))
        yield


@contextlib.contextmanager
def _plain_checkpoints() -> Iterator[None]:
    """A reentrant checkpoint hides its graph, so its function is called as if there were no checkpoint."""

    def plain(function: Callable[..., Any], preserve_rng_state: bool, *args: Any) -> Any:
        del preserve_rng_state
        return function(*args)

    hidden = torch.utils.checkpoint.CheckpointFunction
    if "apply" in vars(hidden):  # one measurement inside another
        yield
        return
    hidden.apply = staticmethod(plain)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del hidden.apply  # the class goes back to the method that it inherits
