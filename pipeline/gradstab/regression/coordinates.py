"""Maps points of a search space to the unit cube, in which regions are measured, and back.

In unit coordinates every axis is [0, 1] in the measure in which it is searched, so that a volume is the probability
that a random trial falls inside. Logarithmic axes are in log. A *snapped* coordinate belongs to a value that can be
tried: an integer sits in its own cell, a choice in the middle of its part.
Axes: N points, D axes of the space, F features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gradstab.errors import UsageError
from gradstab.study.axes import AnyAxis, Choice, Value
from gradstab.study.recipe import conditions
from gradstab.study.space import Point, SearchSpace

Array = NDArray[np.float64]


class Coordinates:
    """The two-way map, and the features in which distances are measured.

    Attributes:
        names: axes in the order of the space.
        num_axes: D.
        choice_D: whether an axis is a choice.
        axis_F: the axis that a feature belongs to.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.names = space.names()
        self.num_axes = len(self.names)
        self._axes = list(space.axes.values())
        self.choice_D = np.array([axis.is_choice for axis in self._axes])
        self.axis_F = np.repeat(
            np.arange(self.num_axes), [len(axis.choices) if isinstance(axis, Choice) else 1 for axis in self._axes]
        )
        self._conditions = [
            (self.names.index(name), self.names.index(parent), values)
            for name, (parent, values) in conditions().items()
            if name in self.names and isinstance(space.axes.get(parent), Choice)
        ]

    def unit(self, points: Sequence[Point]) -> Array:
        """Snapped unit coordinates of points, shape (N, D).

        Raises:
            UsageError: a point lacks an axis, or lies outside the space.
        """
        unit_ND = np.empty((len(points), self.num_axes))
        for row_D, point in zip(unit_ND, points, strict=True):
            for column, (name, axis) in enumerate(zip(self.names, self._axes, strict=True)):
                if name not in point:
                    raise UsageError(f"a point needs a value for every axis of the space, but {name} has none")
                row_D[column] = _unit_of(name, axis, point[name])
        return unit_ND

    def snapped(self, unit_ND: Array) -> Array:
        """The unit coordinates of the values that `unit_ND` stands for.

        Raises:
            UsageError: a coordinate lies outside [0, 1].
        """
        unit_ND = np.asarray(unit_ND, dtype=np.float64)
        if not ((unit_ND >= 0) & (unit_ND <= 1)).all():
            raise UsageError("unit coordinates must lie in [0, 1], got some outside or NaN")
        columns = [axis.snap(unit_ND[:, column]) for column, axis in enumerate(self._axes)]
        return np.stack(columns, axis=1) if columns else unit_ND

    def points(self, unit_ND: Array) -> list[dict[str, Value]]:
        """The points that unit coordinates stand for."""
        return [self.space.point_from_unit(dict(zip(self.names, row.tolist(), strict=True))) for row in unit_ND]

    def axis_value(self, name: str, unit: float) -> Value:
        """The value of one axis at a unit coordinate."""
        return self.space.axes[name].from_unit(unit)

    def axis_unit(self, name: str, value: Value) -> float:
        """The snapped unit coordinate of a value of one axis.

        Raises:
            UsageError: the value lies outside the axis.
        """
        return _unit_of(name, self.space.axes[name], value)

    def choice(self, unit_ND: Array) -> NDArray[np.int64]:
        """The number of each point's combination of choices, shape (N,); all zero if no axis is a choice."""
        number_N = np.zeros(len(unit_ND), dtype=np.int64)
        for column, axis in enumerate(self._axes):
            if isinstance(axis, Choice):
                number_N = number_N * len(axis.choices) + axis.indices(unit_ND[:, column])
        return number_N

    def features(self, unit_ND: Array) -> Array:
        """Features whose squared distance is that of the points, before length-scales; shape (N, F).

        A numeric axis gives its unit coordinate. A choice gives one-hot features over sqrt(2), so that two different
        choices are 1 apart (a Hamming term). An axis without effect at a point gets the same place for all such points.
        """
        columns: list[Array] = []
        for column, axis in enumerate(self._axes):
            if isinstance(axis, Choice):
                index_N = axis.indices(unit_ND[:, column])
                columns.append(np.eye(len(axis.choices))[index_N] / math.sqrt(2))
            else:
                columns.append(unit_ND[:, column : column + 1])
        for column, parent, values in self._conditions:
            parent_axis = self._axes[parent]
            assert isinstance(parent_axis, Choice)
            active = np.array([choice in values for choice in parent_axis.choices])
            off_N = ~active[parent_axis.indices(unit_ND[:, parent])]
            columns[column] = np.where(off_N[:, None], 0.0 if self.choice_D[column] else 0.5, columns[column])
        return np.concatenate(columns, axis=1) if columns else np.zeros((len(unit_ND), 0))

    def sobol(self, log2_count: int, seed: int) -> Array:
        """2^log2_count scrambled Sobol points, shape (N, D); not snapped."""
        from scipy.stats import qmc  # here, because its import takes a second, and `gradstab status` needs none of it

        return qmc.Sobol(max(1, self.num_axes), scramble=True, rng=np.random.default_rng(seed)).random_base2(log2_count)

    def with_axis(self, unit_D: Array, values: Mapping[str, Value]) -> Array:
        """Unit coordinates with some axes set to values.

        Raises:
            UsageError: no such axis, or a value outside it.
        """
        changed_D = unit_D.copy()
        for name, value in values.items():
            if name not in self.names:
                raise UsageError(f"the study has no axis {name!r}; its axes are {', '.join(self.names)}")
            changed_D[self.names.index(name)] = self.axis_unit(name, value)
        return changed_D


def _unit_of(name: str, axis: AnyAxis, value: Value) -> float:
    """Snapped unit coordinate of a value."""
    if axis.contains(value):
        return axis.to_unit(value)
    if isinstance(axis, Choice):
        raise UsageError(f"{name} must be one of {', '.join(map(repr, axis.choices))}, got {value!r}")
    kind = "a whole number" if axis.is_whole else "a number"
    raise UsageError(f"{name} must be {kind} within [{axis.low:g}, {axis.high:g}], got {value!r}")
