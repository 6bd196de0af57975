"""One flat buffer for all parameters of a stack, and the same layout for gradients and optimizer state.

A buffer is a row of sections (a layer's weights, a layer's biases, ...). A section holds one contiguous piece of
`size` numbers for each of the first `members` members of the stack: members stand deepest first, so the members
that still have a layer are always a prefix. Neighbouring sections of equal shape form a block (k, n, P), on which
one operation with a factor per member runs over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

TINY_FACTOR = 2.0**-64  # a float32 factor below this is applied in two halves
LARGEST_EXPONENT = 126  # 2^e and 2^-e are normal float32 numbers
PIECE = 32  # a piece fills two vector registers: torch's loops then never fall back to scalar code at its end


@dataclass(frozen=True)
class Section:
    """`members` pieces of `size` numbers, size a multiple of PIECE."""

    members: int
    size: int


@dataclass(frozen=True)
class Block:
    """Consecutive sections of equal shape: `sections` of them from index `first`, at `start` in the buffer."""

    first: int
    sections: int
    members: int
    size: int
    start: int

    def view(self, flat: Tensor) -> Tensor:
        """The block's part of a buffer, shape (k, n, P)."""
        length = self.sections * self.members * self.size
        return flat[self.start : self.start + length].view(self.sections, self.members, self.size)


@dataclass(frozen=True)
class Layout:
    """Where the pieces of every member lie in a flat buffer."""

    members: int
    sections: tuple[Section, ...]

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where each section begins; one more entry for the end."""
        starts = [0]
        for section in self.sections:
            starts.append(starts[-1] + section.members * section.size)
        return tuple(starts)

    @property
    def length(self) -> int:
        return self.starts[-1]

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        blocks: list[Block] = []
        for index, section in enumerate(self.sections):
            last = blocks[-1] if blocks else None
            if last is not None and (last.members, last.size) == (section.members, section.size):
                blocks[-1] = Block(last.first, last.sections + 1, last.members, last.size, last.start)
            else:
                blocks.append(Block(index, 1, section.members, section.size, self.starts[index]))
        return tuple(blocks)

    @cached_property
    def _views(self) -> dict[int, tuple[Tensor, list[Tensor]]]:
        return {}

    def views(self, flat: Tensor) -> list[Tensor]:
        """The blocks of a buffer; made once for each buffer, which is then kept as long as the layout."""
        known = self._views.get(id(flat))
        if known is None:
            known = self._views[id(flat)] = (flat, [block.view(flat) for block in self.blocks])
        return known[1]

    def section(self, flat: Tensor, index: int) -> Tensor:
        """One section of a buffer, shape (n, P)."""
        section = self.sections[index]
        return flat[self.starts[index] : self.starts[index + 1]].view(section.members, section.size)

    def keep(self, members: Sequence[int]) -> Layout:
        """The layout of these members only (ascending), without the sections that none of them has."""
        sections = (Section(sum(m < s.members for m in members), s.size) for s in self.sections)
        return Layout(len(members), tuple(section for section in sections if section.members))

    def kept(self, flat: Tensor, members: Sequence[int]) -> Tensor:
        """The buffer of these members only, laid out as `keep` says."""
        pieces = []
        for index, section in enumerate(self.sections):
            present = [m for m in members if m < section.members]
            pieces.append(self.section(flat, index)[present].reshape(-1))
        return torch.cat(pieces)


def halves(exponent: Tensor) -> tuple[Tensor, Tensor]:
    """2^e as two exact float64 factors: one after the other they scale by 2^e where 2^e itself is out of range.

    Exponents must be within [-2000, 2000].
    """
    half = torch.div(exponent, 2, rounding_mode="floor")
    return power_of_two(half), power_of_two(exponent - half)


def power_of_two(exponent: Tensor) -> Tensor:
    """2^e in float64, exactly, for whole exponents within [-1022, 1023]."""
    return (exponent.long() + 1023).bitwise_left_shift(52).view(torch.float64)


def scale_(layout: Layout, flat: Tensor, factor_n: Tensor) -> None:
    """Multiply every member's pieces by its own float64 factor, in place.

    A factor below 2^-64 is applied as a power of two first: as one float32 it would underflow and zero a huge gradient.
    """
    tiny_n = factor_n.abs() < TINY_FACTOR
    if bool(tiny_n.any()):
        mantissa_n, exponent_n = torch.frexp(factor_n)
        exponent_n = torch.where(tiny_n, exponent_n, 0)
        scale_by_power_(layout, flat, exponent_n.expand(len(layout.sections), -1))
        factor_n = torch.where(tiny_n, mantissa_n, factor_n)
    factor_n1 = factor_n.to(flat.dtype)[:, None]
    for block, part_knP in zip(layout.blocks, layout.views(flat), strict=True):
        part_knP.mul_(factor_n1[: block.members])


def scale_by_power_(layout: Layout, flat: Tensor, exponent_sn: Tensor) -> None:
    """Multiply every piece by 2^exponent of its own section and member, in place and without rounding."""
    largest_s = exponent_sn.abs().amax(1).tolist()
    if not any(largest_s):
        return
    first_sn, second_sn = halves(exponent_sn)
    both_sn = first_sn * second_sn  # one factor does where it is a normal float32
    for block, part_knP in zip(layout.blocks, layout.views(flat), strict=True):
        sections = slice(block.first, block.first + block.sections)
        largest = max(largest_s[sections])
        if largest > 0:
            for power_sn in (both_sn,) if largest <= LARGEST_EXPONENT else (first_sn, second_sn):
                part_knP.mul_(power_sn[sections, : block.members, None].to(flat.dtype))
