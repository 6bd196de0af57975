"""The responses of a user's own study and their bands: read from trials, and scaled to what the regression expects.

Axes: N trials.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike
from optuna.trial import FrozenTrial, TrialState

from gradstab.errors import UsageError
from gradstab.regression.coordinates import Array
from gradstab.study.response_band import ResponseBand

Band = tuple[float, float]
Reader = Callable[[FrozenTrial], float | Mapping[str, float] | None]

FARTHEST = 37.0  # units; the gradient ratio of our own studies ends there too
_ONLY = "the response"  # the name of one that the user did not name


@dataclass(frozen=True)
class Scale:
    """Puts a response into units around its band: the edges lie at -1 and 1, or the only edge at 0.

    Attributes:
        name, low, high: the band as the user gave it.
        unit: the change of the response that counts as one.
        least, most: what infinite responses count as, in units.
    """

    name: str
    low: float
    high: float
    unit: float
    least: float
    most: float

    @staticmethod
    def of(name: str, low: float, high: float, response_N: Array) -> Scale:
        """The scale that some responses ask for.

        A unit is half the width of the band. Where the band has one end, it is the median distance from that end. An
        infinite response counts as the farthest finite one on its side, and as at least one unit outside the band: much
        farther, it would bend the model near the edge.
        """
        finite_N = response_N[np.isfinite(response_N)]
        centre = _centre(low, high)
        distance_N = np.abs(finite_N - centre)
        distance_N = distance_N[distance_N > 0]
        if math.isfinite(low) and math.isfinite(high):
            unit, edge = (high - low) / 2, 1.0
        else:
            unit, edge = float(np.median(distance_N)) if len(distance_N) else 1.0, 0.0
        shares_N = np.clip((finite_N - centre) / unit, -FARTHEST, FARTHEST)
        least, most = float(shares_N.min(initial=-edge - 1)), float(shares_N.max(initial=edge + 1))
        return Scale(name, low, high, unit, least, most)

    @property
    def band(self) -> ResponseBand:
        """The band in units."""
        low, high = ((edge - _centre(self.low, self.high)) / self.unit for edge in (self.low, self.high))
        return ResponseBand(self.name, low, high, 1.0, f"{self.name} too low", f"{self.name} too high")

    def __call__(self, response_N: ArrayLike) -> Array:
        """Responses in units, at most 37 from 0. NaN counts as infinite: upward if the band has an upper end."""
        value_N = np.asarray(response_N, dtype=np.float64)
        value_N = np.where(np.isnan(value_N), math.inf if math.isfinite(self.high) else -math.inf, value_N)
        units_N = np.clip((value_N - _centre(self.low, self.high)) / self.unit, -FARTHEST, FARTHEST)
        return np.where(np.isfinite(value_N), units_N, np.where(value_N > 0, self.most, self.least))


class UserResponses:
    """What a trial of the user's study measured, and in which bands it must lie.

    Args:
        bands: (low, high) of the only response, or by name. An end may be infinite.
        read: the responses of a finished trial; None: the objective's values, in the order of the bands.

    Raises:
        UsageError: there is no band, or one is no interval with a finite end.
    """

    def __init__(self, bands: Band | Mapping[str, Band], read: Reader | None) -> None:
        named = dict(bands) if isinstance(bands, Mapping) else {_ONLY: bands}
        if not named:
            raise UsageError("bands must hold at least one response, got none: give bands=(low, high)")
        self.bands = {name: _interval(name, band) for name, band in named.items()}
        self._alone = not isinstance(bands, Mapping)
        self._read = read

    def of(self, trial: FrozenTrial) -> tuple[float, ...] | None:
        """The responses of a finished trial in the order of the bands; None where it did not measure them.

        Raises:
            UsageError: a completed trial has no number for a response.
        """
        if trial.state == TrialState.PRUNED and self._read is None:
            return None  # its value is an intermediate one
        try:
            return self._given(trial)
        except UsageError:
            if trial.state == TrialState.PRUNED:  # it ended before it was measured
                return None
            raise

    def scales(self, responses: Sequence[tuple[float, ...]]) -> tuple[Scale, ...]:
        """How responses are scaled once those of some trials are known."""
        return tuple(
            Scale.of(name, low, high, np.array([row[index] for row in responses]))
            for index, (name, (low, high)) in enumerate(self.bands.items())
        )

    def _given(self, trial: FrozenTrial) -> tuple[float, ...] | None:
        if self._read is None:
            values = trial.values
            if len(values) != len(self.bands):
                raise UsageError(
                    f"bands must hold one band for each of the study's {len(values)} objectives, "
                    f"got {len(self.bands)}: add bands, or say with responses= which numbers count"
                )
            return tuple(values)
        try:
            given = self._read(trial)
        except Exception as error:
            raise UsageError(
                f"responses= could not read trial {trial.number}: {type(error).__name__}: {error}. "
                "Set what it reads before the trial ends, or let it return None for a trial that measured nothing"
            ) from error
        if given is None:
            return None
        named = given if isinstance(given, Mapping) else {_ONLY: given}
        if self._alone and isinstance(given, Mapping):
            raise UsageError(
                f"responses= must return a number where bands is one (low, high), "
                f"got {given!r} for trial {trial.number}"
            )
        return tuple(_number(name, named, trial.number) for name in self.bands)


def _number(name: str, named: Mapping[str, float], number: int) -> float:
    if name not in named:
        raise UsageError(
            f"responses= must return a number for every band, but trial {number} has none for {name!r}: "
            f"it returned {', '.join(map(repr, named)) or 'nothing'}"
        )
    value = named[name]
    if not isinstance(value, Real):
        raise UsageError(f"responses= must return numbers, got {value!r} for {name} of trial {number}")
    return float(value)


def _interval(name: str, band: Band) -> Band:
    try:
        low, high = (float(edge) for edge in band)
    except (TypeError, ValueError):
        raise UsageError(f"the band of {name} must be two numbers (low, high), got {band!r}") from None
    ResponseBand(name, low, high, 1.0)  # refuses what is no interval with a finite end
    return low, high


def _centre(low: float, high: float) -> float:
    """The middle of a band, or its only end."""
    if math.isfinite(low) and math.isfinite(high):
        return (low + high) / 2
    return low if math.isfinite(low) else high
