"""The readings of one loop as a trajectory. Axes: S optimizer step, P reading, L tap."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from gradstab.record.statistics.registry import STATISTICS
from gradstab.record.trajectory import FloatArray, Trajectory
from gradstab.stability.judgement import Judgement, judge
from gradstab.study.criterion import Criterion
from gradstab.watching.side_batch import SideReading


@dataclasses.dataclass
class Readings:
    """What was read so far.

    Attributes:
        taps: names of the places where gradients are compared.
        reference_loss, target_loss: as in Trajectory.
        readings: in the order of their steps.
    """

    taps: tuple[str, ...]
    reference_loss: float
    target_loss: float | None
    readings: list[SideReading] = dataclasses.field(default_factory=list)

    @property
    def last_step(self) -> int:
        """Step of the last reading; -1 before the first."""
        return self.readings[-1].step if self.readings else -1

    def add(self, reading: SideReading) -> None:
        """Add a reading of a later step than all before."""
        self.readings.append(reading)

    def add_update(self, layers: dict[str, FloatArray]) -> None:
        """Add what the step after the last reading changed."""
        if self.readings:
            self.readings[-1].layers.update(layers)

    def trajectory(self) -> Trajectory:
        """All readings; it ends with the last one.

        Nothing is known of the steps between two readings: `loss` and `grad_norm` have the later one's values there.
        """
        steps = np.array([reading.step for reading in self.readings], dtype=np.int64)
        length = int(steps[-1])
        later_S = np.searchsorted(steps, np.arange(length))
        names = [name for name in STATISTICS if any(name in reading.layers for reading in self.readings)]
        of_steps = {"loss": self._of("loss")[later_S], "grad_norm": self._of("grad_norm")[later_S]}
        of_readings = {"probe_loss": self._of("loss"), "accuracy": self._of("accuracy")}
        of_taps = {name: self._of_taps(name) for name in dict.fromkeys(["log10_delta_norm", *names])}
        bad = [reading.step for reading in self.readings if not reading.is_finite]
        return Trajectory(
            depth=len(self.taps),
            steps=length,
            reference_loss=self.reference_loss,
            target_loss=self.target_loss,
            taps=self.taps,
            probe_step_P=steps,
            series={**of_steps, **of_readings, **of_taps},
            nonfinite_step=bad[0] if bad else None,
        )

    def judgement(self, trajectory: Trajectory) -> Judgement:
        """As a trial is judged; by the gradients alone where the loss that counts as trained is unknown."""
        known = self.target_loss is not None or not math.isnan(self.reference_loss)
        return judge(trajectory, Criterion() if known else Criterion(responses=("R",)))

    def _of(self, name: str) -> FloatArray:
        return np.array([getattr(reading, name) for reading in self.readings], dtype=np.float64)

    def _of_taps(self, name: str) -> FloatArray:
        nothing: Sequence[float] = [math.nan] * len(self.taps)
        rows = [reading.layers.get(name, nothing) for reading in self.readings]
        return np.array(rows, dtype=STATISTICS[name].dtype)
