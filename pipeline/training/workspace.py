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

    A pass that keeps its layers can be followed by a backward pass; one that does not uses two buffers in turn.
    """

    def __init__(
        self, counts: Sequence[int], rows: int, widths: Widths, keeps_z: bool, dtype: torch.dtype, device: torch.device
    ) -> None:
        def buffer(pieces: int, size: int) -> Tensor:
            return torch.zeros(pieces * rows * size, dtype=dtype, device=device)

        self.counts = tuple(counts)
        self.widths = widths
        self._a = buffer(sum(counts), widths.units)
        self._z = buffer(sum(counts) if keeps_z else 0, widths.units)
        self._x = buffer(counts[0], widths.features)
        self._turns = [buffer(counts[0], widths.units) for _ in range(4)]
        self._logits = [buffer(counts[0], widths.classes) for _ in range(2)]

    def rows(self, rows: int) -> Views:
        """Views for passes of this many (padded) rows."""
        counts, units, members = self.counts, self.widths.units, self.counts[0]

        def turn(index: int, size: int = units) -> Tensor:
            return _shaped(self._turns[index], members, rows, size)

        a, z, start = [], [], 0
        for count in counts:
            length = count * rows * units
            a.append(self._a[start : start + length].view(count, rows, units))
            z.append(self._z[start : start + length].view(count, rows, units) if len(self._z) else a[-1])
            start += length
        return Views(
            x=_shaped(self._x, members, rows, self.widths.features),
            a=a,
            z=z,
            top=turn(0),
            deltas=(turn(1), turn(2)),
            scratch=turn(3),
            logits=_shaped(self._logits[0], members, rows, self.widths.classes),
            dlogits=_shaped(self._logits[1], members, rows, self.widths.classes),
        )


@dataclass(frozen=True)
class Views:
    """What one pass writes: inputs, a and z by layer, the last layer of every member and its gradient, logits."""

    x: Tensor
    a: list[Tensor]
    z: list[Tensor]
    top: Tensor
    deltas: tuple[Tensor, Tensor]
    scratch: Tensor
    logits: Tensor
    dlogits: Tensor

    def passing(self, keeps_z: bool) -> Views:
        """The same without keeping layers: they take turns in the buffers of the backward pass."""
        turns = [self.deltas[layer % 2][: len(a)] for layer, a in enumerate(self.a)]
        z = [self.scratch[: len(a)] for a in self.a] if keeps_z else turns
        return Views(self.x, turns, z, self.top, self.deltas, self.scratch, self.logits, self.dlogits)


def _shaped(buffer: Tensor, members: int, rows: int, size: int) -> Tensor:
    return buffer[: members * rows * size].view(members, rows, size)
