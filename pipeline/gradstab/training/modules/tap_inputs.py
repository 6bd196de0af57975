"""Gradients at taps under `torch.func.vmap`, where hooks on tensors do not fire: zeros that hooks add to the taps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from gradstab.training.modules.quick_reading import Place


class TapInputs:
    """Zeros that are added to what modules return; the gradient by them is the gradient at the tap.

    Attributes:
        counts: number of tensors of each tap.
        parts: the module behind each tap.
    """

    def __init__(self, module: nn.Module, places: Sequence[Place]) -> None:
        self.counts = [place.tensors for place in places]
        self.parts = [module.get_submodule(place.module) for place in places]
        starts = [sum(self.counts[:index]) for index in range(len(places))]
        self._starts = {(place.module, place.call): start for place, start in zip(places, starts, strict=True)}
        self._of = dict(zip(self._starts, self.counts, strict=True))
        self._names = dict.fromkeys(place.module for place in places)
        self._module = module
        self._shapes: dict[int, list[tuple[torch.Size, torch.dtype]]] = {}  # by number of samples

    def zeros(self, members: int, num_samples: int, run: Callable[[], None]) -> list[Tensor]:
        """A zero for each tensor of each tap, (n, ...), that requires a gradient.

        Args:
            run: runs the module once for one member on that many samples.
        """
        if num_samples not in self._shapes:
            seen: list[Tensor | None] = [None] * sum(self.counts)

            def note(place: int, tensor: Tensor) -> Tensor:
                seen[place] = tensor
                return tensor

            with self._hooked(note):
                run()
            self._shapes[num_samples] = [(one.shape, one.dtype) for one in seen if one is not None]
            self._device = next(one.device for one in seen if one is not None)
        return [
            torch.zeros(members, *shape, dtype=dtype, device=self._device, requires_grad=True)
            for shape, dtype in self._shapes[num_samples]
        ]

    @contextmanager
    def added(self, eps: Sequence[Tensor]) -> Iterator[list[Tensor]]:
        """Add these at the taps; yields a list that holds the first tensor of each tap after the forward pass."""
        order = {start: index for index, start in enumerate(self._starts.values())}
        firsts = [eps[start] for start in order]  # which the forward pass replaces

        def add(place: int, tensor: Tensor) -> Tensor:
            if place in order:
                firsts[order[place]] = tensor.detach()
            return tensor + eps[place]

        with self._hooked(add):
            yield firsts

    @contextmanager
    def _hooked(self, change: Callable[[int, Tensor], Tensor]) -> Iterator[None]:
        calls = dict.fromkeys(self._names, 0)

        def changed(name: str, output: Any) -> Any:
            place, calls[name] = (name, calls[name]), calls[name] + 1
            if place not in self._starts:
                return None
            leaves, spec = tree_flatten(output)
            floating = [at for at, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
            for offset, at in enumerate(floating[: self._of[place]]):
                leaves[at] = change(self._starts[place] + offset, leaves[at])
            return tree_unflatten(leaves, spec)

        def hook(name: str) -> Callable[[nn.Module, Any, Any], Any]:
            return lambda _module, _given, output: changed(name, output)

        handles = [self._module.get_submodule(name).register_forward_hook(hook(name)) for name in self._names]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
