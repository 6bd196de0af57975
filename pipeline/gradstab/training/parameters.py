"""Where every parameter of a pack lies in the flat buffer, and its initial value.

Axes: n member, I and O in- and outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradstab.study.recipe import Recipe
from gradstab.training.data import Dataset
from gradstab.training.initialisation import hidden_biases, hidden_weights, readout_weights
from gradstab.training.layout import PIECE, FlatLayout, Section
from gradstab.training.workspace import Widths


def layer_counts(depths: Sequence[int]) -> list[int]:
    """n_l: how many members have layer l."""
    return [sum(depth > layer for depth in depths) for layer in range(depths[0])]


def layer_shapes(depth: int, widths: Widths) -> list[tuple[int, int]]:
    """(in, out) of the hidden layers' weights and of the readout's."""
    units = widths.units
    return [(widths.features, units), *[(units, units)] * (depth - 1), (units, widths.classes)]


def sections(counts: Sequence[int], widths: Widths) -> tuple[Section, ...]:
    """Sections of the flat buffer: hidden weights, readout weights, hidden biases, readout biases."""
    shapes = layer_shapes(len(counts), widths)
    members = [*counts, counts[0]]
    weights = (Section(n, fan_in * fan_out) for n, (fan_in, fan_out) in zip(members, shapes, strict=True))
    return (*weights, *(Section(n, piece_length(fan_out)) for n, (_, fan_out) in zip(members, shapes, strict=True)))


def piece_length(size: int) -> int:
    """The length that a bias takes in the flat buffer: whole pieces."""
    return -(-size // PIECE) * PIECE


def initial_values(
    layout: FlatLayout,
    recipes: Sequence[Recipe],
    seeds: Sequence[int],
    data: Dataset,
    widths: Widths,
    dtype: torch.dtype,
) -> Tensor:
    """Parameters of every member, drawn from its own seed and put into place with zeros as padding."""
    flat = np.zeros(layout.length, dtype=np.float32)
    depth = recipes[0].depth

    def piece(section: int, member: int, columns: int) -> NDArray[np.float32]:
        size = layout.sections[section].size
        start = layout.starts[section] + member * size
        return flat[start : start + size // columns * columns].reshape(-1, columns)

    num_features, width = data.shape.num_features, recipes[0].width
    for member, (recipe, seed) in enumerate(zip(recipes, seeds, strict=True)):
        for layer, weight_IO in enumerate(hidden_weights(recipe, seed, num_features)):
            piece(layer, member, widths.units)[: len(weight_IO), :width] = weight_IO
        if recipe.bias_scale > 0:
            for layer, bias_O in enumerate(hidden_biases(recipe, seed)):
                piece(depth + 1 + layer, member, 1)[:width, 0] = bias_O
        readout_IO = readout_weights(recipe, seed, data.num_classes)
        piece(depth, member, widths.classes)[:width, : data.num_classes] = readout_IO
    return torch.from_numpy(flat).to(dtype)
