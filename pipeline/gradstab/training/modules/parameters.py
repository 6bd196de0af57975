"""The parameters of a module in the flat buffer of a stack: which sections there are, and which tap owns which.

Weights inside taps stand first, so that the optimizer measures their updates. Shapes: s section, n member, L tap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradstab.probing.scaled_weights import is_inside, parameter_aliases
from gradstab.training.layout import FlatLayout, Section
from gradstab.training.parameters import piece_length


@dataclass(frozen=True)
class Placed:
    """Names of a module's parameters in the order of their sections, and the sections of each tap.

    Attributes:
        names: of all parameters that are trained, each once, however many modules share it.
        measured: how many sections from the first on hold weights inside taps.
        weights, biases: for each tap, the sections of its parameters of two and more dimensions, and of the others.
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    measured: int
    weights: tuple[tuple[int, ...], ...]
    biases: tuple[tuple[int, ...], ...]

    def layout(self, members: int) -> FlatLayout:
        """The flat buffer of that many members: pieces are filled up with zeros, which stay zero."""
        return FlatLayout(members, tuple(Section(members, piece_length(shape.numel())) for shape in self.shapes))

    def views(self, layout: FlatLayout, flat: Tensor) -> list[Tensor]:
        """For each parameter its numbers in the buffer, shape (n, *shape)."""
        return [
            layout.section(flat, index)[:, : shape.numel()].view(-1, *shape) for index, shape in enumerate(self.shapes)
        ]

    def weight_norms(self, norm_sn: Tensor) -> Tensor:
        """Norms by tap (L, n) of the parameters of two and more dimensions; NaN where a tap has none."""
        return _joined(norm_sn, self.weights)

    def bias_norms(self, norm_sn: Tensor) -> Tensor:
        """Norms by tap (L, n) of the other parameters; NaN where a tap has none."""
        return _joined(norm_sn, self.biases)


def placed(module: nn.Module, owners: Sequence[str]) -> Placed:
    """Where the parameters of a module lie, given the modules or bare parameters behind its taps."""
    trained = [name for name, value in module.named_parameters() if value.requires_grad]
    by_name = dict(module.named_parameters())
    aliases = parameter_aliases(module)
    inside = [[name for name in trained if any(is_inside(alias, owner) for alias in aliases[name])] for owner in owners]
    of_taps = {name for names in inside for name in names}
    first = [name for name in trained if name in of_taps and by_name[name].ndim > 1]
    names = (*first, *(name for name in trained if name not in first))
    place = {name: index for index, name in enumerate(names)}
    return Placed(
        names=names,
        shapes=tuple(by_name[name].shape for name in names),
        measured=len(first),
        weights=tuple(tuple(place[name] for name in found if by_name[name].ndim > 1) for found in inside),
        biases=tuple(tuple(place[name] for name in found if by_name[name].ndim <= 1) for found in inside),
    )


def _joined(norm_sn: Tensor, sections: Sequence[Sequence[int]]) -> Tensor:
    nan = norm_sn.new_full(norm_sn.shape[1:], torch.nan)
    return torch.stack([torch.linalg.vector_norm(norm_sn[list(of)], dim=0) if of else nan for of in sections])
