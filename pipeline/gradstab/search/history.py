"""The trials of an Optuna study as arrays: finished ones in the order in which they were told, and running ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from gradstab.errors import UsageError
from gradstab.regression.coordinates import Array, Coordinates
from gradstab.sampling.region_model import ToldTrials
from gradstab.study.response_band import ResponseBand
from gradstab.study.space import SearchSpace

ATTRIBUTE_PREFIX = "gs."  # the user's own attributes and Optuna's keep their names
_OVERTAKEN_BY = 100  # a running trial counts as dead once this many trials with later numbers are finished, and
_OVERTAKEN_TIMES = 4  # this many times the number of running trials


@dataclass(frozen=True)
class Told:
    """Unit coordinates and responses of a trial, in the order of the bands."""

    unit_D: Array
    response_R: tuple[float, ...]


class History:
    """Reads the trials of a study; each finished trial is read once.

    Left out are trials that failed, that lack a response or have a non-finite one, or that lie outside the space (users
    may add any), and running trials that many later trials have overtaken: their driver must have died.
    """

    def __init__(self, space: SearchSpace, bands: Sequence[ResponseBand]) -> None:
        self._coordinates = Coordinates(space)
        self._names = [band.name for band in bands]
        self._finished: dict[int, Told | None] = {}
        self.measured = ToldTrials((), np.empty((0, len(space))), {name: np.empty(0) for name in self._names})
        self.running_BD: Array = np.empty((0, len(space)))

    def read(self, study: Study) -> None:
        """Update `measured` and `running_BD` from storage."""
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.RUNNING))
        finished = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        if len(finished) != len(self._finished):
            self._take(finished)
        self.running_BD = self._running([trial for trial in trials if trial.state == TrialState.RUNNING])

    def told(self, number: int) -> Told | None:
        """A finished trial that counts, by its number."""
        return self._finished.get(number)

    def _take(self, finished: Sequence[FrozenTrial]) -> None:
        told = [trial for trial in finished if self._row(trial) is not None]
        told.sort(key=lambda trial: (trial.datetime_complete, trial.number))
        numbers = tuple(trial.number for trial in told)
        if numbers != self.measured.numbers:
            rows = [row for number in numbers if (row := self._finished[number]) is not None]
            response_NR = np.array([row.response_R for row in rows]).reshape(-1, len(self._names))
            self.measured = ToldTrials(
                numbers,
                np.array([row.unit_D for row in rows]).reshape(len(rows), self.running_BD.shape[1]),
                dict(zip(self._names, response_NR.T, strict=True)),
            )

    def _row(self, trial: FrozenTrial) -> Told | None:
        if trial.number not in self._finished:
            unit_D = self._unit(trial)
            given = [trial.user_attrs.get(ATTRIBUTE_PREFIX + name) for name in self._names]
            response_R = tuple(float(value) for value in given if isinstance(value, int | float))
            sound = len(response_R) == len(self._names) and all(map(math.isfinite, response_R))
            self._finished[trial.number] = None if unit_D is None or not sound else Told(unit_D, response_R)
        return self._finished[trial.number]

    def _unit(self, trial: FrozenTrial) -> Array | None:
        """Unit coordinates of a trial; None if it has no complete point of the space."""
        try:
            return np.asarray(self._coordinates.unit([trial.params])[0])
        except UsageError:
            return None

    def _running(self, trials: Sequence[FrozenTrial]) -> Array:
        units = [
            unit_D
            for trial in still_running(trials, self.measured.numbers)
            if (unit_D := self._unit(trial)) is not None
        ]
        return np.array(units).reshape(len(units), self.running_BD.shape[1])


def still_running(trials: Sequence[FrozenTrial], finished: Sequence[int]) -> list[FrozenTrial]:
    """Running trials without those that many finished trials of later numbers have overtaken: their driver has died."""
    finished_N = np.sort(np.asarray(finished, dtype=np.int64))
    most = max(_OVERTAKEN_BY, _OVERTAKEN_TIMES * len(trials))
    return [trial for trial in trials if len(finished_N) - np.searchsorted(finished_N, trial.number) <= most]
