"""The trials before there is a model: scrambled Sobol points, evenly spread over choices.

Axes: S points in order, D axes of the space.
"""

from __future__ import annotations

import numpy as np

from gradstab.regression.coordinates import Array, Coordinates
from gradstab.study.axes import Choice

_EACH_CHOICE = 8  # a choice with fewer trials would be judged by the other choices' trials
_FEWEST, _AN_AXIS = 4, 4  # with half as many, one run in fifteen missed an island of the region for fifty trials
_LOG2_POINTS = 10


def num_start_up(coordinates: Coordinates) -> int:
    """Number of trials before a model is used: at least 8 of every choice."""
    most_choices = max((len(axis.choices) for axis in coordinates.space.choices().values()), default=1)
    return max(_FEWEST + _AN_AXIS * coordinates.num_axes, _EACH_CHOICE * most_choices)


def start_up_points(coordinates: Coordinates, seed: int) -> Array:
    """Snapped unit coordinates, shape (S, D): of any first k x c points each of c choices has k."""
    unit_SD = coordinates.sobol(_LOG2_POINTS, seed)
    rng = np.random.default_rng(seed)
    for column, (_, axis) in enumerate(coordinates.space.items()):
        if isinstance(axis, Choice):
            count = len(axis.choices)
            blocks = [rng.permutation(count) for _ in range(-(-len(unit_SD) // count))]
            unit_SD[:, column] = (np.concatenate(blocks)[: len(unit_SD)] + 0.5) / count
    return coordinates.snapped(unit_SD)
