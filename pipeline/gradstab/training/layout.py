"""One flat buffer for all parameters of a stack, and the same layout for gradients and optimizer state.

A buffer is a row of sections (a layer's weights, a layer's biases, ...). A section holds one contiguous piece of
`size` numbers for each of the first `members` members of the stack: members stand deepest first, so the members
that still have a layer are always a prefix. Neighbouring pieces of equal size, of whatever sections, form a block
(p, P), on which one operation with a factor per piece runs over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

TINY_FACTOR = 2.0**-64  # a float32 factor below this is applied in two halves
LARGEST_EXPONENT = 126  # 2^e and 2^-e are normal float32 numbers
_BLOCK_LENGTH = 2**17  # numbers: a block of each of parameters, gradient and two moments fill a cache of 2 MB
PIECE = 32  # a piece fills two vector registers: torch's loops then never fall back to scalar code at its end


@dataclass(frozen=True)
class Section:
    """`members` pieces of `size` numbers, size a multiple of PIECE."""

    members: int
    size: int


@dataclass(frozen=True)
class Block:
    """Consecutive pieces of equal size: `pieces` of them from index `first`, at `start` in the buffer."""

    first: int
    pieces: int
    size: int
    start: int

    def view(self, flat: Tensor) -> Tensor:
        """The block's part of a buffer, shape (p, P)."""
        return flat[self.start : self.start + self.pieces * self.size].view(self.pieces, self.size)

    def of(self, by_piece: Tensor) -> Tensor:
        """The block's part of numbers by piece."""
        return by_piece[self.first : self.first + self.pieces]


@dataclass(frozen=True)
class FlatLayout:
    """Where the pieces of every member lie in a flat buffer."""

    members: int
    sections: tuple[Section, ...]

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Start of each section, and the end of the last one."""
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
        piece = 0
        for index, section in enumerate(self.sections):
            last = blocks[-1] if blocks else None
            longer = last is not None and (last.pieces + section.members) * section.size <= _BLOCK_LENGTH
            if last is not None and last.size == section.size and longer:
                blocks[-1] = Block(last.first, last.pieces + section.members, last.size, last.start)
            else:
                most = max(1, _BLOCK_LENGTH // section.size)
                blocks += [
                    Block(piece + done, min(most, section.members - done), section.size, start)
                    for done in range(0, section.members, most)
                    for start in [self.starts[index] + done * section.size]
                ]
            piece += section.members
        return tuple(blocks)

    @cached_property
    def _piece_indices(self) -> dict[torch.device, tuple[Tensor, Tensor]]:
        return {}

    @cached_property
    def _place_indices(self) -> dict[torch.device, Tensor]:
        return {}

    def piece_index(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Section and member of every piece, made once per device."""
        if device not in self._piece_indices:
            sections = [index for index, section in enumerate(self.sections) for _ in range(section.members)]
            members = [member for section in self.sections for member in range(section.members)]
            self._piece_indices[device] = (
                torch.tensor(sections, device=device),
                torch.tensor(members, device=device),
            )
        return self._piece_indices[device]

    def by_piece(self, number_n: Tensor) -> Tensor:
        """A number per member as one per piece."""
        return number_n[self.piece_index(number_n.device)[1]]

    def by_section(self, number_p: Tensor) -> Tensor:
        """Numbers of the first pieces as a table (s, n); 0 where a member has no such section or no number."""
        number_sn = number_p.new_zeros(len(self.sections), self.members)
        place_p = self._places(number_p.device)[: len(number_p)]
        number_sn.view(-1).index_copy_(0, place_p, number_p)
        return number_sn

    def _places(self, device: torch.device) -> Tensor:
        """Place of each piece in a table (s, n), made once per device."""
        if device not in self._place_indices:
            section_p, member_p = self.piece_index(device)
            self._place_indices[device] = section_p * self.members + member_p
        return self._place_indices[device]

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

    def keep(self, members: Sequence[int]) -> FlatLayout:
        """The layout of these members only (ascending), without the sections that none of them has."""
        sections = (Section(sum(m < s.members for m in members), s.size) for s in self.sections)
        return FlatLayout(len(members), tuple(section for section in sections if section.members))

    def kept(self, flat: Tensor, members: Sequence[int]) -> Tensor:
        """A copy of the buffer with these members only, in the layout that `keep` returns."""
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


def scale_(layout: FlatLayout, flat: Tensor, factor_n: Tensor) -> None:
    """Multiply every member's pieces by its own float64 factor, in place.

    A factor below 2^-64 is applied as a power of two first: as one float32 it would underflow and zero a huge gradient.
    """
    tiny_n = factor_n.abs() < TINY_FACTOR
    if bool(tiny_n.any()):
        mantissa_n, exponent_n = torch.frexp(factor_n)
        exponent_n = torch.where(tiny_n, exponent_n, 0)
        scale_by_power_(layout, flat, exponent_n.expand(len(layout.sections), -1))
        factor_n = torch.where(tiny_n, mantissa_n, factor_n)
    factor_p1 = layout.by_piece(factor_n.to(flat.dtype))[:, None]
    for block, part_pP in zip(layout.blocks, layout.views(flat), strict=True):
        part_pP.mul_(block.of(factor_p1))


def scale_by_power_(layout: FlatLayout, flat: Tensor, exponent_sn: Tensor) -> None:
    """Multiply every piece by 2^exponent of its own section and member, in place and without rounding."""
    exponent_p = exponent_sn[layout.piece_index(exponent_sn.device)]
    largest = int(exponent_p.abs().amax())
    if largest == 0:
        return
    first_p, second_p = halves(exponent_p)
    # one factor is enough if it is a normal float32
    for power_p in (first_p * second_p,) if largest <= LARGEST_EXPONENT else (first_p, second_p):
        power_p1 = power_p.to(flat.dtype)[:, None]
        for block, part_pP in zip(layout.blocks, layout.views(flat), strict=True):
            part_pP.mul_(block.of(power_p1))
