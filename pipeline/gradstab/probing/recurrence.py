"""Recurrent layers run one time step at a time, because a hook on the whole layer cannot see inside the recurrence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import PackedSequence

from gradstab.probing.events import Event, edge_of
from gradstab.probing.refusals import refuse
from gradstab.probing.summary import summary_of
from gradstab.probing.trees import tensors

if TYPE_CHECKING:
    from gradstab.probing.recording import Recording

_SAME = 1e-10  # relative, of the output step by step and at once, in float64
_SAME_SINGLE = 1e-4


def step_by_step(name: str, part: nn.RNNBase, recording: Recording) -> None:
    """Replace the layer's forward, so that its state at every step is an event.

    The position of a step is the whole state: h and c of all layers. Packed and bidirectional sequences are run at
    once, and their steps' inputs are the events.
    """
    whole = part.forward
    count = 0

    def event(role: Any, found: tuple[Tensor, ...]) -> None:
        nonlocal count
        if recording.closed:  # a checkpoint runs the layer again in the backward pass
            return
        edges = tuple(edge_of(tensor) for tensor in found)
        # a state is (layers, samples, units): its last layer is what the output shows
        summary = summary_of(found[0][-1] if role == "state" else found[0]) if recording.summarise else None
        step = f"{name} step {count}"
        recording.events.append(Event(step, nn.RNNBase, role, edges, tuple(found[0].shape), summary=summary))
        count += 1

    def forward(input: Any, hx: Any = None) -> Any:  # noqa: A002  callers may name torch's own arguments
        recording.ran.add(name)
        if not torch.is_grad_enabled():
            recording.silent.append(name)
            return whole(input, hx)
        if isinstance(input, PackedSequence):
            steps = _separate(input.data, input.batch_sizes.tolist(), 0)
            _each_event(steps, event)
            packed = PackedSequence(torch.cat(steps), input.batch_sizes, input.sorted_indices, input.unsorted_indices)
            return whole(packed, hx)
        axis = 1 if part.batch_first and input.ndim == 3 else 0
        recording.unbatched |= input.ndim == 2
        if part.bidirectional:
            steps = _separate(input, 1, axis)
            _each_event(steps, event)
            return whole(torch.cat(steps, axis), hx)
        with parametrize.cached():  # spectral norm would go on iterating at every step
            outputs, last, states = _run(whole, input, hx, axis)
            _require_same(name, part, whole, input, hx, axis, outputs)
        for found in states:
            event("state", found)
        return outputs, last

    part.forward = forward


def _separate(given: Tensor, sizes: Any, axis: int) -> list[Tensor]:
    """The steps as tensors of their own that require a gradient."""
    return [step if step.requires_grad else step.requires_grad_(True) for step in torch.split(given, sizes, axis)]


def _each_event(steps: list[Tensor], event: Any) -> None:
    for step in steps:
        event("step input", (step,))


def _run(whole: Any, given: Tensor, state: Any, axis: int) -> tuple[Tensor, Any, list[tuple[Tensor, ...]]]:
    """Outputs, last state, and the states of all steps."""
    outputs, states = [], []
    for step in torch.split(given, 1, axis):
        _, state = whole(step, state)
        members = tuple(tensors(state))
        states.append(members)
        outputs.append(members[0][-1])
    return torch.stack(outputs, axis), state, states


def _require_same(
    name: str, part: nn.RNNBase, whole: Any, given: Tensor, state: Any, axis: int, outputs: Tensor
) -> None:
    """Refuse a layer whose steps, run one by one, give another output than the layer at once."""
    with torch.no_grad():
        found = outputs
        training = part.training
        if part.dropout and training:  # the masks between its layers are drawn apart: compare without them
            part.training = False
            found, _, _ = _run(whole, given, state, axis)
        expected, _ = whole(given, state)
        part.training = training
        tolerance = _SAME if outputs.dtype == torch.float64 else _SAME_SINGLE
        scale = max(float(expected.abs().max()), 1e-300)
        difference = float((found - expected).abs().max())
    if not difference <= tolerance * scale and bool(torch.isfinite(expected).all()):
        refuse(
            f"{name} ({type(part).__name__}) gives another output when it is run one time step at a time "
            f"(difference {difference:.1e}): write it as a loop over its cell, or name taps"
        )
