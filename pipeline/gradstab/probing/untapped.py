"""Why layers are in no judged series: readouts, parts inside blocks, no gradient, never run, out of sight."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from gradstab.probing.events import edge_of, is_matrix, kind_of, matrix_size
from gradstab.probing.forward import Forward
from gradstab.probing.refusals import refuse
from gradstab.probing.series import readouts

_OWNERS = (
    nn.RNNBase,
    nn.Embedding,
    nn.MultiheadAttention,
)  # whose weights are seen though no layer inside applies them


def reasons_of_layers(forward: Forward) -> dict[str, str]:
    """For each layer that ran, by name: is it a readout, or does it pass a part of the gradient?"""
    tops = {event.name for event in readouts(forward.events, forward.graph)}
    return {
        event.name: "the readout" if event.name in tops else "passes a part of the gradient"
        for event in forward.events
        if event.layer
    }


def untapped(own: nn.Module, forward: Forward) -> tuple[tuple[str, str], ...]:
    """Kinds of layers whose gradient was not read, each with the reason."""
    read = {event.name for event in forward.events}
    silent = set(forward.recording.silent)
    reasons: dict[str, str] = {}
    for name, part in own.named_modules():
        parent = own.get_submodule(name.rpartition(".")[0])
        if not name or name in read or "parametrizations" in name or isinstance(parent, nn.MultiheadAttention):
            continue
        if isinstance(part, nn.Embedding | nn.EmbeddingBag):
            reasons[name] = "an embedding: nothing lies before it"
        elif name in silent:
            reasons[name] = "passes no gradient (torch.no_grad, detach, or inside torch.func.vmap)"
        elif matrix_size(part, inside=False) and not list(part.children()) and name not in forward.recording.ran:
            reasons[name] = "its forward never ran"
    for name in sorted(forward.recording.elementwise):
        reasons.setdefault(name, "used entry by entry, as a position embedding")
    for name in _unseen(own, forward):
        reasons.setdefault(name, "used outside the modules and products that the probe can see")
    counts: dict[tuple[str, str], int] = {}
    for name, reason in reasons.items():
        key = (kind_of(name), reason)
        counts[key] = counts.get(key, 0) + 1
    return tuple((f"{name} ({count} times)" if count > 1 else name, reason) for (name, reason), count in counts.items())


def refuse_unseen(own: nn.Module, forward: Forward, *, headline_is_chain: bool) -> None:
    """Refuse a plain chain of layers that leaves more than half of the weights out of sight.

    Raises:
        UsageError: with the names of some of them.
    """
    unseen = _unseen(own, forward)
    sizes = {name: weight.numel() for name, weight in own.named_parameters() if is_matrix(weight)}
    if headline_is_chain and 2 * sum(sizes[name] for name in unseen) > sum(sizes.values()):
        refuse(
            f"most weights are used in ways that the probe cannot see ({_some(unseen)}): put each product into a "
            "module, or name taps"
        )


def _unseen(own: nn.Module, forward: Forward) -> list[str]:
    """Weight matrices that the loss depends on, and that belong to no recorded layer."""
    seen = {event.name for event in forward.events if not event.block and event.role != "input"}
    owners = [name for name, part in own.named_modules() if isinstance(part, _OWNERS)]
    layers = tuple(f"{name}." for name in seen | set(owners))
    return [
        name
        for name, weight in own.named_parameters()
        if is_matrix(weight)
        and name not in seen
        and name not in forward.recording.elementwise
        and not name.startswith(layers)
        and forward.graph.reaches([edge_of(weight)])
    ]


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")
