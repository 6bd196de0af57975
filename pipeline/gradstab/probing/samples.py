"""Which rows of the outputs belong to which sample, and the signs that tell whether samples mix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gradstab.probing.trees import Tree, tensors

MOST_PASSES = 16

Layout = Literal["each", "groups", "cycle"]


@dataclass(frozen=True)
class Rows:
    """How samples lie along one axis: one index each, in groups of neighbours, or in turn.

    Attributes:
        num_samples: B.
    """

    num_samples: int
    axis: int
    layout: Layout

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether a tensor of that shape can be divided so."""
        if len(shape) <= self.axis:
            return False
        size = shape[self.axis]
        return size == self.num_samples if self.layout == "each" else size % self.num_samples == 0

    def signed(self, gradient: Tensor, signs_B: Tensor) -> Tensor:
        """The gradient with each sample's part multiplied by the sample's sign."""
        size = gradient.shape[self.axis]
        signs = signs_B.to(gradient)
        if self.layout == "groups":
            signs = signs.repeat_interleave(size // self.num_samples)
        elif self.layout == "cycle":
            signs = signs.repeat(size // self.num_samples)
        shape = [1] * gradient.ndim
        shape[self.axis] = size
        return gradient * signs.view(shape)


def candidate_rows(shapes: Sequence[Sequence[int]], inputs: Tree, targets: Tree) -> list[Rows]:
    """Ways in which samples may lie in the outputs, the likeliest first.

    The number of samples is the length of an axis that inputs or targets share with the outputs; where tokens were
    flattened, rows of one sample are neighbours or come in turn.
    """
    given = [tensor.shape for tensor in tensors(inputs)[:1]]
    asked = [tensor.shape for tensor in tensors(targets)[:1]]
    firsts = [shape[0] for shape in given + asked if len(shape)]
    seconds = [shape[1] for shape in given + asked if len(shape) > 1]
    # a nested tensor, whose samples have lengths of their own, has symbols for sizes
    sizes = list(dict.fromkeys(size for size in firsts + seconds if isinstance(size, int)))
    rows = [Rows(size, axis, "each") for axis in (0, 1) for size in sizes]
    rows.sort(key=lambda one: sizes.index(one.num_samples))
    layouts: tuple[Layout, ...] = ("groups", "cycle")
    rows += [Rows(size, 0, layout) for size in sizes if size > 1 for layout in layouts]
    return [one for one in rows if shapes and all(one.fits(shape) for shape in shapes)]


def hadamard(num_samples: int) -> Tensor:
    """Rows of a Hadamard matrix, (2^k, B), the smallest that has a column for each sample; the first row is all +1."""
    signs = torch.ones(1, 1, dtype=torch.float64)
    while len(signs) < num_samples:
        signs = torch.cat([torch.cat([signs, signs], 1), torch.cat([signs, -signs], 1)])
    return signs[:, :num_samples]


def telling_signs(num_samples: int, generator: torch.Generator) -> Tensor:
    """Two rows of signs over samples in random order; samples that mix give other gradients under them."""
    rows = hadamard(num_samples)[1:3]
    return rows[:, torch.randperm(num_samples, generator=generator)]


def measuring_signs(num_samples: int, most: int, generator: torch.Generator) -> tuple[Tensor, bool]:
    """At most `most` rows of signs, and whether they are all, so that cross terms between samples cancel exactly.

    Where some rows are left out, samples get random signs of their own, so that what is left of the cross terms is
    zero on average.
    """
    rows = hadamard(num_samples)
    if len(rows) <= most:
        return rows, True
    own_B = torch.randint(0, 2, (num_samples,), generator=generator) * 2 - 1
    return rows[:most] * own_B, False
