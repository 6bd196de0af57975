"""One forward pass and loss of a private copy, with all that the measurement needs of it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gradstab.probing.activated import Activations
from gradstab.probing.events import Event, edge_of
from gradstab.probing.gradients import Cut
from gradstab.probing.graph import Graph
from gradstab.probing.losses import Loss, one_number
from gradstab.probing.precision import Lifting, Types, default_type, lifted
from gradstab.probing.recording import Recording, record
from gradstab.probing.refusals import refuse, user_code
from gradstab.probing.samples import Rows, candidate_rows
from gradstab.probing.series import readouts
from gradstab.probing.trees import Tree, differentiable, map_tensors, tensors


@dataclass(frozen=True)
class Batch:
    """What the user gave beside the module, in the types of the measurement."""

    inputs: Tree
    targets: Tree
    loss: Loss
    types: Types


@dataclass(frozen=True)
class Forward:
    """A forward pass, its loss and its graph.

    Attributes:
        outputs: copies of what the module returned, as the loss was given them.
        cut: where signs are put on samples; None where no place can take them.
        candidates: how samples may lie in the cut.
        per_sample: whether the loss was given per sample.
        num_samples: the length of the targets, or else of the inputs; 1 for one sequence without a batch axis.
    """

    recording: Recording
    outputs: Tree
    value: Tensor
    graph: Graph
    cut: Cut | None
    candidates: tuple[Rows, ...]
    per_sample: bool
    num_samples: int

    def release(self, own: nn.Module) -> None:
        """Free the graph; neither this nor the copy can be used afterwards."""
        graph = self.graph
        for part in own.modules():
            vars(part).pop("forward", None)  # which holds the recording
        vars(self.recording).clear()
        vars(self).clear()
        graph.dismantle()

    @property
    def events(self) -> list[Event]:
        """Every tensor seen, in order."""
        return self.recording.events


def refuse_unfit_data(inputs: Tree, targets: Tree) -> None:
    """Refuse an empty batch, and numbers that are not numbers.

    Raises:
        UsageError: with what was found.
    """
    for name, tree in (("inputs", inputs), ("targets", targets)):
        for tensor in tensors(tree):
            if tensor.numel() == 0:
                refuse(f"{name} must hold at least one sample, got a tensor of shape {tuple(tensor.shape)}")
            if tensor.is_meta:
                refuse(f"{name} must hold numbers, got a tensor of shape {tuple(tensor.shape)} on the meta device")
            if (tensor.is_floating_point() or tensor.is_complex()) and bool(torch.isnan(tensor).any()):
                refuse(f"{name} must be numbers, got NaN in a tensor of shape {tuple(tensor.shape)}")


def infinite_data(inputs: Tree, targets: Tree) -> str | None:
    """What is infinite in a batch, in words; None where nothing is.

    A mask of minus infinities, which attention adds to its scores, is none: other tensors than the first may hold
    them, and so may the first where all else in it is 0 or below.
    """
    for name, tree in (("inputs", inputs), ("targets", targets)):
        for place, tensor in enumerate(tensors(tree)):
            if not (tensor.is_floating_point() or tensor.is_complex()):
                continue
            wrong = torch.isinf(tensor)
            if not bool(wrong.any()) or (name == "inputs" and _is_mask(tensor, first=place == 0)):
                continue
            infinite = f"{int(wrong.sum())} infinite numbers"
            return f"{name} must be finite, got {infinite} in a tensor of shape {tuple(tensor.shape)}"
    return None


def _is_mask(tensor: Tensor, *, first: bool) -> bool:
    if tensor.is_complex() or bool(torch.isposinf(tensor).any()):
        return False
    return not first or float(tensor.amax()) == 0


def run_forward(
    own: nn.Module, batch: Batch, *, summarise: bool = False, activations: Activations | None = None
) -> Forward:
    """Call a private copy and the loss; events carry a summary of their values if asked, `activations` watches.

    Raises:
        UsageError: either raised, or what they returned has no gradient.
    """
    given, targets = lifted((batch.inputs, batch.targets), {})
    with default_type(batch.types), Lifting(batch.types):
        with user_code("the module"):
            recording = record(own, lambda module: called(module, given), summarise=summarise, activations=activations)
        handed = handed_to_loss(recording.outputs)
        heads = differentiable(handed)
        if not heads:
            refuse(
                "the module must have at least one hidden layer that passes a gradient to its outputs, but nothing "
                "that it returned has one (no weights, torch.no_grad, or detach)"
            )
        edges = [edge_of(head) for head in heads]
        with user_code("the loss"):
            losses = batch.loss(handed, targets)
        length = num_losses(given, targets)
        value = one_number(losses, length)
    graph = Graph(edge_of(value))
    used = [(edge, tuple(head.shape)) for edge, head in zip(edges, heads, strict=True) if graph.reaches([edge])]
    cut, candidates = _cut(graph, used, recording, batch)
    return Forward(
        recording=recording,
        outputs=handed,
        value=value,
        graph=graph,
        cut=cut,
        candidates=candidates,
        per_sample=losses.numel() > 1,
        num_samples=1 if recording.unbatched else length or 1,
    )


def called(module: nn.Module, given: Tree) -> Any:
    """A tuple is positional arguments; a dict is keywords if forward has all those names."""
    if type(given) is tuple:
        return module(*given)
    if isinstance(given, Mapping) and all(isinstance(name, str) for name in given):
        accepted = inspect.signature(module.forward).parameters
        open_ended = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in accepted.values())
        if given and (set(given) <= set(accepted) or (open_ended and set(given) & set(accepted))):
            return module(**given)
    return module(given)


def handed_to_loss(outputs: Tree) -> Tree:
    """Copies of outputs, so that none lies on another one's path, and a loss may write in place."""
    with user_code("copying what the module returned"):
        return map_tensors(lambda tensor: tensor.clone() if tensor.requires_grad else tensor, outputs)


def num_losses(inputs: Tree, targets: Tree) -> int | None:
    """Number of losses that a loss per sample returns: the length of the targets, or else of the inputs."""
    for tree in (targets, inputs):
        for tensor in tensors(tree)[:1]:
            if tensor.ndim:
                return len(tensor)
    return None


def _cut(
    graph: Graph, used: list[tuple[Any, tuple[int, ...]]], recording: Recording, batch: Batch
) -> tuple[Cut | None, tuple[Rows, ...]]:
    """The outputs, or the readouts where the loss was computed inside the module; each with samples along an axis."""
    tops = readouts(recording.events, graph)
    places = [used, [(event.edges[0], event.shape) for event in tops]]
    positions = [event.edges[:1] for event in recording.events if event.layer]
    if recording.unbatched:
        return None, ()
    for place in places:
        cut = Cut(tuple(edge for edge, _ in place), tuple(shape for _, shape in place))
        rows = candidate_rows(cut.shapes, batch.inputs, batch.targets)
        if rows and place and _crossed(graph, cut, positions):
            return cut, tuple(rows)
    return None, ()


def _crossed(graph: Graph, cut: Cut, positions: list[Any]) -> bool:
    """Whether every path from the loss to the lowest layers crosses the cut once."""
    reached = [position for position in positions if graph.reaches(position)]
    return all(graph.crosses_once(cut.edges, position) for position in reached[:1])


def sgd_step(own: nn.Module, batch: Batch, rate: float) -> None:
    """One step of plain gradient descent on the private copy, in place."""
    given, targets = lifted((batch.inputs, batch.targets), {})
    with default_type(batch.types), Lifting(batch.types):
        with user_code("the module"):
            outputs = called(own, given)
        with user_code("the loss"):
            value = one_number(batch.loss(outputs, targets), num_losses(given, targets))
        parameters = [parameter for parameter in own.parameters() if parameter.requires_grad]
        with user_code("the backward pass"):
            gradients = torch.autograd.grad(value, parameters, allow_unused=True)
    with torch.no_grad():
        for weight, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                weight.sub_(rate * gradient)
