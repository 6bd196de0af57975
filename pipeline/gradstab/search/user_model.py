"""The boundary search over the parameters of a user's study.

Axes: N trials, B trials running, D axes of the space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution

from gradstab.errors import UsageError
from gradstab.regression.coordinates import Array
from gradstab.regression.fitting import fit_surrogate
from gradstab.regression.single_threaded_blas import single_threaded_blas
from gradstab.sampling.boundary_search import BoundarySearch
from gradstab.sampling.region_model import RegionModel, ToldTrials
from gradstab.sampling.start_up import num_start_up
from gradstab.search.parameter_space import ParameterSpace
from gradstab.search.user_responses import Scale, UserResponses
from gradstab.search.user_study import Measured
from gradstab.stability.estimator import Estimator


class UserModel:
    """Proposes points from finished and running trials, and forecasts any point from finished ones.

    Both depend on the trials alone and not on what this process did before. What is known is kept for speed.

    Args:
        space: distributions of the parameters, all of them `modelled`.
        seed: of start-up points and pools.
        startup_trials: finished trials before there is a model; by default enough for the axes and choices.
    """

    def __init__(
        self,
        space: Mapping[str, BaseDistribution],
        responses: UserResponses,
        seed: int,
        startup_trials: int | None = None,
    ) -> None:
        self.parameters = ParameterSpace(space)
        self._responses = responses
        self._seed = seed
        coordinates = self.parameters.coordinates
        self._num_start_up = num_start_up(coordinates) if startup_trials is None else startup_trials
        self._unit: dict[int, Array | None] = {}
        self._scales: tuple[Scale, ...] = ()
        self._search: BoundarySearch | None = None

    def propose(
        self, measured: Sequence[Measured], running: Sequence[Mapping[str, Any]], unknown: int
    ) -> dict[str, Any]:
        """The parameters of the next trial, as if every running trial turned out as forecast.

        Args:
            measured: finished trials, in the order in which they ended.
            running: known points of running trials; those outside the space are left out.
            unknown: running trials that get their points before this one and have not told them yet: they are expected
                to get what this search would propose.
        """
        scales, told = self._told(measured)
        if self._search is None or scales != self._scales:
            model = RegionModel(
                self.parameters.coordinates.space, [scale.band for scale in scales], self._seed, self._num_start_up
            )
            self._search, self._scales = BoundarySearch(model, self._seed, repeats=False), scales
        units = [unit_D for point in running if (unit_D := self.parameters.unit(point)) is not None]
        for _ in range(unknown):
            units.append(self._search.propose(told, self._rows(units)))
        return self.parameters.params(self._search.propose(told, self._rows(units)))

    @single_threaded_blas
    def estimator(self, measured: Sequence[Measured]) -> Estimator:
        """The estimator of finished trials, fitted to all of them.

        Raises:
            UsageError: no trial of this space was measured.
        """
        scales, told = self._told(measured)
        if not told.numbers:
            raise UsageError("a region needs at least one finished trial with responses, got none: run the study first")
        coordinates = self.parameters.coordinates
        return Estimator(
            coordinates,
            [fit_surrogate(coordinates, told.unit_ND, told.responses[scale.name], scale.band) for scale in scales],
        )

    def _told(self, measured: Sequence[Measured]) -> tuple[tuple[Scale, ...], ToldTrials]:
        """The trials that lie in this space, with their responses scaled as their first trials say."""
        inside, units = [], []
        for one in measured:
            if one.key not in self._unit:
                self._unit[one.key] = self.parameters.unit(one.params)
            if (unit_D := self._unit[one.key]) is not None:
                inside.append(one)
                units.append(unit_D)
        scales = self._responses.scales([one.responses for one in inside[: self._num_start_up]])
        response_NR = np.array([one.responses for one in inside]).reshape(-1, len(scales))
        responses = {scale.name: scale(response_N) for scale, response_N in zip(scales, response_NR.T, strict=True)}
        return scales, ToldTrials(tuple(one.key for one in inside), self._rows(units), responses)

    def _rows(self, units: Sequence[Array]) -> Array:
        return np.array(units).reshape(len(units), self.parameters.coordinates.num_axes)
