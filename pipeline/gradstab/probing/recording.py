"""One recorded forward pass: every module's inputs and outputs, products with bare parameters, time steps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.hooks import RemovableHandle

from gradstab.probing.activated import Activations
from gradstab.probing.events import Event, edge_of, matrix_size
from gradstab.probing.products import Products
from gradstab.probing.recurrence import step_by_step
from gradstab.probing.summary import summary_of
from gradstab.probing.trees import differentiable, tensors

_CONTAINERS = (nn.ParameterList, nn.ParameterDict)
_LAYERS = (nn.Linear, nn.Bilinear, _ConvNd, nn.RNNCellBase)  # also where a weight has but one row or column


@dataclass
class Recording:
    """What one forward pass returned and passed through.

    Attributes:
        outputs: whatever the module returned.
        events: in the order in which modules returned.
        silent: names of layers whose outputs pass no gradient.
        ran: names of all modules that ran.
        elementwise: names of parameters that were used entry by entry.
        unbatched: whether a recurrent layer was given one sequence without a batch axis.
        closed: whether the forward pass is over.
        summarise: whether events carry what their values show.
    """

    outputs: Any = None
    events: list[Event] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    ran: set[str] = field(default_factory=set)
    elementwise: set[str] = field(default_factory=set)
    unbatched: bool = False
    closed: bool = False
    summarise: bool = False


def record(
    own: nn.Module,
    call: Callable[[nn.Module], Any],
    *,
    summarise: bool = False,
    activations: Activations | None = None,
) -> Recording:
    """Call the module with hooks on every part of it, which are gone afterwards; `activations` watches as well."""
    recording = Recording(summarise=summarise)
    products = Products(own, recording.events)
    handles: list[RemovableHandle] = []
    for name, part in own.named_modules():
        if "parametrizations" in name:
            continue
        if isinstance(part, nn.RNNBase):
            step_by_step(name or type(part).__name__, part, recording)
        elif name:
            handles += _Watch(name, part, recording, products).hooks()
    try:
        with products, activations or contextlib.nullcontext():
            recording.outputs = call(own)
    finally:
        recording.closed = True
        recording.elementwise = products.elementwise
        for handle in handles:
            handle.remove()
    return recording


class _Watch:
    """The hooks on one module; a module may run many times, and inside itself."""

    def __init__(self, name: str, part: nn.Module, recording: Recording, products: Products) -> None:
        self._name, self._part, self._recording, self._products = name, part, recording, products
        normed = hasattr(part, "weight_g") or parametrize.is_parametrized(part)
        owned = matrix_size(part, inside=False)
        self._embedding = isinstance(part, nn.Embedding | nn.EmbeddingBag)
        applies = bool(owned or normed) or isinstance(part, _LAYERS)
        self._layer = applies and not self._embedding and not isinstance(part, _CONTAINERS)
        self._block = matrix_size(part, inside=True) > owned and not normed
        self._applies_itself = self._layer and (normed or isinstance(part, nn.MultiheadAttention) or not self._block)
        self._taken: list[Event | None] = []
        self._makes_weights: list[bool] = []

    def hooks(self) -> list[RemovableHandle]:
        part = self._part
        return [
            part.register_forward_pre_hook(self._before, with_kwargs=True),
            part.register_forward_hook(self._after, with_kwargs=True),
        ]

    def _before(self, part: nn.Module, args: Any, kwargs: Any) -> None:
        given = tensors((args, kwargs))
        taken = [tensor for tensor in given if tensor.requires_grad][:1]
        self._taken.append(self._event("input", taken) if taken else None)
        self._makes_weights.append(self._products.made_of_weights(given))
        self._products.active.append({id(weight) for weight in part.parameters()} if self._applies_itself else set())

    def _after(self, part: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        del part, args, kwargs
        taken, makes_weights = self._taken.pop(), self._makes_weights.pop()
        self._products.active.pop()
        self._recording.ran.add(self._name)
        if self._embedding:
            return None
        returned, handed = parted(output)
        if not returned:
            if self._layer:
                self._recording.silent.append(self._name)
            return None
        event = self._event("output", returned, layer=self._layer and not makes_weights, block=self._block)
        if taken is not None and _same_place(taken, event):
            return handed
        self._recording.events.append(event)
        if taken is not None:
            self._recording.events.append(taken)
        return handed

    def _event(self, role: Any, found: list[Tensor], *, layer: bool = False, block: bool = False) -> Event:
        edges = tuple(edge_of(tensor) for tensor in found)
        summary = summary_of(found[0], self._part if role == "output" else None) if self._recording.summarise else None
        return Event(
            self._name, self._kind(), role, edges, tuple(found[0].shape), layer=layer, block=block, summary=summary
        )

    def _kind(self) -> Hashable:
        kind = parametrize.type_before_parametrizations(self._part)
        return (kind, self._name.count(".") if kind is nn.Sequential else 0)


def parted(output: Any) -> tuple[list[Tensor], Any]:
    """The tensors with a gradient that a module returned, and what is handed on in its place; None if it stays.

    Copies handed on part the members of a state, so that none lies on another's path.
    """
    returned = differentiable(output)
    if len(returned) < 2 or len(returned) != len(_plain(output)):
        return returned, None
    handed = tree_map(lambda leaf: leaf.clone() if _is_differentiable(leaf) else leaf, output)
    return _plain(handed), handed


def _plain(output: Any) -> list[Tensor]:
    """The tensors with a gradient in tuples, lists and dicts; caches and other objects stay what they are."""
    return [leaf for leaf in tree_leaves(output) if _is_differentiable(leaf)]


def _is_differentiable(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.requires_grad


def _same_place(first: Event, second: Event) -> bool:
    one, other = first.edges[0], second.edges[0]
    return one.node is other.node and one.output_nr == other.output_nr
