"""An Optuna sampler that places trials where they say most about the boundary of a stability region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from gradstab.regression.single_threaded_blas import single_threaded_blas
from gradstab.sampling.boundary_search import BoundarySearch
from gradstab.sampling.region_model import RegionModel
from gradstab.search.history import History
from gradstab.search.samplers import distributions_of
from gradstab.study.axes import Value
from gradstab.study.response_band import ResponseBand
from gradstab.study.space import SearchSpace
from gradstab.system.failpoints import failpoint


class BoundarySampler(BaseSampler):
    """Proposes points near the edges of every response's band, as if running trials turned out as expected.

    A proposal depends only on the study's trials, so that a reopened study continues as if it had never stopped.
    Responses are read from the trial's user attributes `gs.<name>` (`gs.R`, `gs.T`), which must be set before
    the trial is told; trials without them are ignored. `sample_relative` decides which point is proposed.

    Args:
        space: what is searched; Optuna does not show it to a sampler before the first trial is told.
        bands: the responses and their bands.
        seed: seed of start-up points and pools.
    """

    def __init__(self, space: SearchSpace, bands: Sequence[ResponseBand], *, seed: int = 0) -> None:
        self._space = space
        self._distributions = distributions_of(space)
        self.history = History(space, bands)
        self.model = RegionModel(space, bands, seed)
        self._search = BoundarySearch(self.model, seed)
        self._proposed: tuple[int, dict[str, Value]] = (-1, {})

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:  # noqa: ARG002
        failpoint("ask")

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        return self._distributions

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],  # noqa: ARG002
    ) -> dict[str, Any]:
        return self._point(study, trial)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,  # noqa: ARG002
    ) -> Any:
        return self._point(study, trial)[param_name]

    @single_threaded_blas
    def _point(self, study: Study, trial: FrozenTrial) -> dict[str, Value]:
        """The proposal for a trial, computed once."""
        number, point = self._proposed
        if number != trial.number:
            self.history.read(study)
            unit_D = self._search.propose(self.history.measured, self.history.running_BD)
            (point,) = self.model.coordinates.points(unit_D[None])
            self._proposed = (trial.number, point)
        return point
