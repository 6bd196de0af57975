"""What one training leaves behind: raw numbers over steps and layers, named and defined in `record.statistics`.

Array names carry their axes as a suffix: S optimizer step, P probe time, L hidden layer (index 0 is the layer
next to the input).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gradstab.record.statistics.registry import STATISTICS

FloatArray = NDArray[np.floating]


@dataclass(frozen=True)
class Trajectory:
    """Raw measurements of one training; judged elsewhere, never here.

    `trajectory[name]` is the array of a statistic: NaN throughout where the training was recorded before that
    statistic existed. `name in trajectory` says whether it was recorded.

    Attributes:
        depth: hidden layers L, or taps of a module.
        steps: optimizer steps S that were planned.
        reference_loss: the loss of the best constant predictor: entropy of the training labels in nats, or what a
            module's loss has in its place; NaN where that is unknown.
        probe_step_P: step of each probe; the last is S.
        series: statistic name to array, for what was recorded. "S" arrays have shape (S,), "P" arrays (P,), "PL"
            arrays (P, L). NaN where nothing was measured (after divergence); -inf is the log10 of an exact zero and
            +inf of an overflow.
        nonfinite_step: first step at which loss, gradient norm or a parameter was not finite (S when found
            after the last update), or None.
        taps: names of the taps of a module, in order; empty for the fully connected family.
        target_loss: the loss that counts as trained, where the study gives it.
        other_axes: axes of those statistics in `series` that this version of gradstab does not know. A later version
            recorded them; they are kept.

    Raises:
        ValueError: a required statistic is missing, or an array does not have the shape of its axes.
    """

    depth: int
    steps: int
    reference_loss: float
    probe_step_P: NDArray[np.int64]
    series: dict[str, FloatArray]
    nonfinite_step: int | None = None
    taps: tuple[str, ...] = ()
    target_loss: float | None = None
    other_axes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = [one.name for one in STATISTICS.values() if one.required and one.name not in self.series]
        if missing:
            raise ValueError(f"a trajectory must hold the statistic {missing[0]!r}, got {sorted(self.series)}")
        for name, array in self.series.items():
            expected = self.shape_of(self.axes_of(name))
            if array.shape != expected:
                raise ValueError(f"{name} must have shape {expected}, got {array.shape}")

    def __contains__(self, name: object) -> bool:
        return name in self.series

    def __getitem__(self, name: str) -> FloatArray:
        """The array of the named statistic.

        Raises:
            KeyError: neither this version nor the record knows such a statistic.
        """
        if name in self.series:
            return self.series[name]
        if name not in STATISTICS:
            known = ", ".join(dict.fromkeys([*STATISTICS, *self.series]))
            raise KeyError(f"a statistic must be one of {known}; got {name!r}")
        statistic = STATISTICS[name]
        return np.full(self.shape_of(statistic.axes), np.nan, dtype=statistic.dtype)

    def axes_of(self, name: str) -> str:
        """What a recorded statistic is measured at: "S", "P" or "PL".

        Raises:
            ValueError: neither the registry nor `other_axes` says it.
        """
        axes = STATISTICS[name].axes if name in STATISTICS else self.other_axes.get(name)
        if axes is None:
            raise ValueError(f"a trajectory must say the axes of the statistic {name!r}, which is not a known one")
        return axes

    def shape_of(self, axes: str) -> tuple[int, ...]:
        """Length of each axis: "PL" stands for (probe times, layers)."""
        lengths = {"S": self.steps, "P": len(self.probe_step_P), "L": self.depth}
        return tuple(lengths[axis] for axis in axes)
