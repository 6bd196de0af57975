"""What a response is: a signed number that is read from a training, and the band in which it is stable."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]


class Training(Protocol):
    """What a response may read: the recorded trajectory of one training.

    Indexing gives the array of a statistic by its name. Axes: S optimizer step, P probe time, L hidden layer.
    """

    @property
    def depth(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def reference_loss(self) -> float: ...
    @property
    def nonfinite_step(self) -> int | None: ...
    @property
    def target_loss(self) -> float | None: ...
    def __getitem__(self, name: str) -> FloatArray: ...


class Limits(Protocol):
    """The settings of a criterion that a response may use."""

    @property
    def ratio_band(self) -> float: ...
    @property
    def target_fraction(self) -> float: ...


@dataclass(frozen=True)
class Response:
    """A signed number that says how far a training is from stable, and on which side.

    Attributes:
        letter: the short name in formulas, plots, study files and Optuna's attributes; it never changes.
        name: the readable name: the metric in MLflow and the column in data frames.
        unit_name: unit of the number, such as "decades".
        title: letter and meaning, for the tables of a report.
        meaning: what it is, without its letter, for the list of metrics.
        where: what holds where a training is in the band, behind "where", for the titles of figures.
        statistics: the statistics that `read` needs.
        read: the number; it must be finite and signed for every training that has the statistics.
        band: the open interval in which a training is stable; either end may be infinite.
        unit: the change that counts as one; it makes responses comparable.
        formula: the band as a report writes it, such as "|R| < 1 decade".
        sentence: the band in words, as the end of a sentence that begins with "Stable means:".
        low_side, high_side: what lies below and above the band, in one word; "" where the band has no end.
        colour: of trainings outside the band, in figures, where that word is no verdict of its own.
        diverged_from: above it the number stands for a training that became non-finite; None if it never does.
        needs_training: the number does not exist where nothing is trained.
        by_default: the response counts where a criterion names none.
    """

    letter: str
    name: str
    unit_name: str
    title: str
    meaning: str
    where: str
    statistics: tuple[str, ...]
    read: Callable[[Training, Limits], float | None]
    band: Callable[[Limits], tuple[float, float]]
    unit: Callable[[Limits], float]
    formula: Callable[[Limits], str]
    sentence: Callable[[Limits], str]
    low_side: str = ""
    high_side: str = ""
    colour: str = "#999999"
    diverged_from: float | None = None
    needs_training: bool = False
    by_default: bool = False

    def of(self, training: Training, limits: Limits) -> float | None:
        """The number of a training; None if nothing was trained or a statistic was not recorded."""
        if self.needs_training and training.steps == 0:
            return None
        try:
            value = self.read(training, limits)
        except KeyError:  # recorded by a version that did not measure it
            return None
        return value if value is not None and math.isfinite(value) else None

    def margin(self, value: float, limits: Limits) -> float:
        """Signed distance of a number to the nearest end of the band, in units; above 0 is stable."""
        low, high = self.band(limits)
        return min(value - low, high - value) / self.unit(limits)
