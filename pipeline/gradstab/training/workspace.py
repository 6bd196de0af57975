"""Buffers of a stack, allocated once: activations of every layer, gradients passing through, the readout.

Training, probe and accuracy passes take turns in the same memory. Shapes: n member, B row of a batch (padded),
F feature, U unit, C class (padded to whole vector registers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Widths:
    """Padded sizes of rows: features, hidden units, classes."""

    features: int
    units: int
    classes: int


class Arena:
    """Memory for passes of up to `rows` rows through layers of `counts` members (deepest first: counts fall).

    A pass that keeps its layers can be followed by a backward pass; one that does not uses the backward pass's buffers.
    """

    def __init__(
        self, counts: Sequence[int], rows: int, widths: Widths, keeps_z: bool, dtype: torch.dtype, device: torch.device
    ) -> None:
        def buffer(pieces: int, size: int) -> Tensor:
            return torch.zeros(pieces * rows * size, dtype=dtype, device=device)

        self.counts = tuple(counts)
        self.capacity = rows
        self.widths = widths
        self._a = buffer(sum(counts), widths.units)
        self._z = buffer(sum(counts) if keeps_z else 0, widths.units)
        self._x = buffer(counts[0], widths.features)
        self._turns = [buffer(counts[0], widths.units) for _ in range(4)]
        self._logits = [buffer(counts[0], widths.classes) for _ in range(2)]

    def views(self, rows: int, *, keeps_layers: bool) -> Views:
        """Views for passes over this many (padded) rows; with or without keeping the layers for a backward pass."""
        units, members = self.widths.units, self.counts[0]
        turns = [_shaped(buffer, members, rows, units) for buffer in self._turns]
        deltas = [turns[1 + layer % 2][:count] for layer, count in enumerate(self.counts)]
        if keeps_layers:
            a = self._stacked(self._a, rows)
            z = self._stacked(self._z, rows) if len(self._z) else a
        else:
            a = deltas
            z = [turns[3][:count] for count in self.counts] if len(self._z) else a
        return Views(
            x=_shaped(self._x, members, rows, self.widths.features),
            a=a,
            z=z,
            deltas=deltas,
            top=turns[0],
            scratch=turns[3],
            logits=_shaped(self._logits[0], members, rows, self.widths.classes),
            dlogits=_shaped(self._logits[1], members, rows, self.widths.classes),
        )

    def _stacked(self, buffer: Tensor, rows: int) -> list[Tensor]:
        """One tensor per layer, one layer after the other."""
        lengths = [count * rows * self.widths.units for count in self.counts]
        parts = torch.split(buffer[: sum(lengths)], lengths)
        return [part.view(-1, rows, self.widths.units) for part in parts]


@dataclass(frozen=True)
class Views:
    """What one pass writes: inputs; a, z and delta by layer; the last layer of every member; logits.

    Once the readout has read the last layers, their memory takes their own gradient.
    """

    x: Tensor
    a: list[Tensor]
    z: list[Tensor]
    deltas: list[Tensor]
    top: Tensor
    scratch: Tensor
    logits: Tensor
    dlogits: Tensor


def _shaped(buffer: Tensor, members: int, rows: int, size: int) -> Tensor:
    return buffer[: members * rows * size].view(members, rows, size)
