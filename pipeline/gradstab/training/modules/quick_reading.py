"""A reading of taps that hooks on modules can reach, at the price of one step of a training.

It gives what the full reading gives, which watches every module and builds the graph of the whole network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from gradstab.probing.events import edge_of
from gradstab.probing.forward import Batch, called, handed_to_loss, num_losses
from gradstab.probing.losses import one_number
from gradstab.probing.precision import Lifting, default_type, lifted
from gradstab.probing.recording import parted
from gradstab.probing.refusals import user_code
from gradstab.probing.summary import Summary, summary_of
from gradstab.probing.trees import Tree, map_tensors


class Place(NamedTuple):
    """A tap that a hook on a module can reach: what the module returns at one of its calls.

    Attributes:
        tensors: how many of the tensors that it returns are one position, from the first on.
    """

    module: str
    call: int
    tensors: int


class QuickReading(NamedTuple):
    """What one pass gives.

    Attributes:
        outputs: what the module returned, detached.
        value: the loss given, detached.
        edges: gradients at each place, one for each of its tensors; None for a place that did not run.
        summaries: what the values at each place show; None for a place that did not run.
        gradients: by the parameters; None where the loss does not depend on one.
    """

    outputs: Tree
    value: Tensor
    edges: Sequence[Sequence[Tensor | None] | None]
    summaries: Sequence[Summary | None]
    gradients: list[Tensor | None]


def read_places(module: nn.Module, batch: Batch, places: Sequence[Place], parameters: Sequence[Tensor]) -> QuickReading:
    """Run a private copy forward and backward once.

    Raises:
        UsageError: the user's code raised, or what it returned has no gradient.
    """
    given, targets = lifted((batch.inputs, batch.targets), {})
    with default_type(batch.types), Lifting(batch.types) if batch.types else nullcontext():
        with user_code("the module"), _watched(module, places) as seen:
            outputs = called(module, given)
        with user_code("the loss"):
            value = one_number(batch.loss(handed_to_loss(outputs), targets), num_losses(given, targets))
        edges = [edge for place in places if place in seen for edge in seen[place].edges]
        ends: list[Any] = [*edges, *parameters]
        with user_code("the backward pass"):
            found = iter(torch.autograd.grad([value], ends, allow_unused=True))
    by_place = [[next(found) for _ in seen[place].edges] if place in seen else None for place in places]
    summaries = [summary_of(seen[place].values, seen[place].made_by) if place in seen else None for place in places]
    return QuickReading(map_tensors(Tensor.detach, outputs), value.detach(), by_place, summaries, list(found))


class _Seen(NamedTuple):
    """A place in one forward pass; `values` are copies of its first tensor, which may be written over later."""

    edges: list[GradientEdge]
    values: Tensor
    made_by: nn.Module


@contextmanager
def _watched(module: nn.Module, places: Sequence[Place]) -> Iterator[dict[Place, _Seen]]:
    """Hooks on the modules of the places; yields what each place was, filled by the forward pass."""
    wanted = {(place.module, place.call): place for place in places}
    calls = dict.fromkeys((place.module for place in places), 0)
    seen: dict[Place, _Seen] = {}

    def watch(name: str) -> Any:
        def after(part: nn.Module, _given: Any, output: Any) -> Any:
            returned, handed = parted(output)
            if not returned:
                return None
            place, calls[name] = wanted.get((name, calls[name])), calls[name] + 1
            if place is not None:
                edges = [edge_of(tensor) for tensor in returned[: place.tensors]]
                seen[place] = _Seen(edges, returned[0].detach().clone(), part)
            return handed

        return module.get_submodule(name).register_forward_hook(after)

    handles = [watch(name) for name in calls]
    try:
        yield seen
    finally:  # a checkpoint runs modules again in the backward pass
        for handle in handles:
            handle.remove()
