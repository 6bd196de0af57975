"""The slow twin: plain float64 autograd with a hook or two, one sample's loss at a time. It knows nothing of gradstab."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Profile = NDArray[np.float64]
SampleLoss = Callable[[Any, int], Tensor]


def hooked_profile(
    module: nn.Module, given: Any, sample_loss: SampleLoss, num_samples: int, places: Sequence[str], *, inputs: bool
) -> Profile:
    """log10 of the root mean square over samples of the gradient norm at modules' outputs or first inputs.

    Args:
        module: in float64 already, called with all samples at once, as batch normalisation needs it.
        given: positional arguments as a tuple, or keywords as a dict.
        sample_loss: of the module's outputs and a sample's index: that sample's own loss.
        num_samples: B.
        places: names of modules in the order in which they run.
        inputs: read what they take instead of what they return.

    Returns:
        NaN for a module that did not run.
    """
    seen: dict[str, list[Tensor]] = {place: [] for place in places}
    handles = []
    for place in dict.fromkeys(places):
        part = module.get_submodule(place)
        if inputs:
            handles.append(part.register_forward_pre_hook(_taking(seen[place])))
        else:
            handles.append(part.register_forward_hook(_returning(seen[place])))
    with torch.enable_grad():
        outputs = module(**given) if isinstance(given, dict) else module(*given)
        for handle in handles:
            handle.remove()
        last = {place: seen[place][-places.count(place) :] for place in places}  # of two encoders, the second
        tensors = [last[place].pop(0) if last[place] else None for place in places]
        ran = np.array([tensor is not None for tensor in tensors])
        profile = np.full(len(places), np.nan)
        profile[ran] = profile_of(outputs, [one for one in tensors if one is not None], sample_loss, num_samples)
        return profile


def profile_of(
    outputs: Any, positions: Sequence[Tensor | tuple[Tensor, ...]], sample_loss: SampleLoss, num_samples: int
) -> Profile:
    """The same at tensors that a network written out keeps; a tuple is one position."""
    squares = np.zeros(len(positions))
    for sample in range(num_samples):
        loss = sample_loss(outputs, sample)
        for index, position in enumerate(positions):
            members = position if isinstance(position, tuple) else (position,)
            gradients = torch.autograd.grad(loss, members, retain_graph=True, allow_unused=True)
            squares[index] += sum(float((part.abs() ** 2).sum()) for part in gradients if part is not None)
    with np.errstate(divide="ignore"):
        profile: Profile = 0.5 * np.log10(squares / num_samples)
    return profile


@contextmanager
def float64_by_default() -> Iterator[None]:
    """Let code that names no type make float64, so that random numbers are drawn in it."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def in_float64(module: nn.Module) -> nn.Module:
    """A float64 copy by torch's own means."""
    return copy.deepcopy(module).double()


def _returning(kept: list[Tensor]) -> Callable[..., Any]:
    """A copy is handed on, so that a later write in place does not change what was kept."""

    def hook(part: nn.Module, given: Any, output: Any) -> Any:
        del part, given
        first = output[0] if isinstance(output, tuple) else output
        kept.append(first)
        copied = first.clone()
        return (copied, *output[1:]) if isinstance(output, tuple) else copied

    return hook


def _taking(kept: list[Tensor]) -> Callable[..., Any]:
    def hook(part: nn.Module, given: Any) -> Any:
        del part
        kept.append(given[0])
        return (given[0].clone(), *given[1:])

    return hook
