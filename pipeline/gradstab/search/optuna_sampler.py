"""`gradstab.BoundarySampler`: the boundary search as a sampler for any Optuna study."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import intersection_search_space
from optuna.trial import FrozenTrial, TrialState

from gradstab.errors import UsageError
from gradstab.regression.single_threaded_blas import single_threaded_blas
from gradstab.search.designs import derived_seed
from gradstab.search.parameter_space import modelled
from gradstab.search.user_model import UserModel
from gradstab.search.user_responses import Band, Reader, UserResponses
from gradstab.search.user_study import UserStudy, point_of, share
from gradstab.stability.estimator import Probabilities

_LOG = logging.getLogger(__name__)
_MOST_START_UP = 1024  # start-up points are a Sobol sequence of this length


class BoundarySampler(BaseSampler):
    """Proposes trials near the edges of a level set: the parameters at which responses lie within their bands.

    The direction of the study does not matter: nothing is optimized. A proposal depends only on the trials in storage,
    the trial's number and the seed. So a study that is continued by another process gets the same points, and workers
    that share a storage and a seed avoid each other's points. `reseed_rng` therefore has nothing to do.

    Parameters that every completed trial has with the same distribution are searched together. The others (conditional
    ones, those whose range changes) are drawn at random, and so is the first trial if `space` is not given.

    Args:
        bands: (low, high) of the only response, or a dictionary of bands by name. An end may be infinite.
        responses: returns the response of a finished trial (a number, or a dictionary by name), or None for a trial
            that measured nothing. By default the objective's values are the responses, in the order of the bands.
        space: distributions of parameters to search from the first trial on, by name.
        seed: of start-up points, candidates and random parameters.
        startup_trials: finished trials before the model is used; by default 4 + 4 for each parameter, and at least 8
            for each choice of a categorical one.

    Raises:
        UsageError: an argument is wrong; or, while sampling, a completed trial has no number for a response.
    """

    def __init__(
        self,
        bands: Band | Mapping[str, Band],
        *,
        responses: Reader | None = None,
        space: Mapping[str, BaseDistribution] | None = None,
        seed: int = 0,
        startup_trials: int | None = None,
    ) -> None:
        if startup_trials is not None and not 1 <= startup_trials <= _MOST_START_UP:
            raise UsageError(f"startup_trials must be within 1 and {_MOST_START_UP}, got {startup_trials}")
        for name, distribution in (space or {}).items():
            if not isinstance(distribution, BaseDistribution):
                raise UsageError(f"space must hold Optuna distributions, got {distribution!r} for {name}")
        self._space = None if space is None else dict(space)
        self._seed = seed
        self._startup_trials = startup_trials
        self._responses = UserResponses(bands, responses)
        self._know_nothing()

    def _know_nothing(self) -> None:
        """Set what is kept for speed, or cannot be pickled, to its beginning."""
        self._trials = UserStudy(self._responses)
        self._model: tuple[dict[str, BaseDistribution], UserModel] | None = None
        self._drawn_at_random: set[str] = set()
        self._lock = threading.Lock()  # `optimize(n_jobs=...)` calls one sampler from many threads

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("_space", "_seed", "_startup_trials", "_responses")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._know_nothing()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        return self._relative_space(study)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space:
            return {}
        with self._lock:
            params = self._proposal(study, trial, search_space)
            share(study, trial, search_space, params)
        return params

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if self._model is not None and param_name not in self._drawn_at_random:
            self._drawn_at_random.add(param_name)
            _LOG.warning(
                "Parameter %r is drawn at random from trial %d on: the boundary is searched over parameters that every "
                "completed trial has with the same distribution.",
                param_name,
                trial.number,
            )
        # of the number and not of what was drawn before: a study that is continued must not draw the same values again
        seed = derived_seed(self._seed, "independent", trial.number, param_name) % 2**32
        return RandomSampler(seed).sample_independent(study, trial, param_name, param_distribution)

    def probabilities(self, study: Study, points: Sequence[Mapping[str, Any]]) -> Probabilities:
        """Where the level set is: how probably each point lies in it, from the study's finished trials.

        `p_region` is the probability that the median response lies within its band, for every response; the level set
        is where it is above 1/2. `p_next` is the probability that one new trial does.

        Args:
            study: a study with finished trials, sampled by this sampler or by others.
            points: a value of every searched parameter each; other entries are ignored.

        Raises:
            UsageError: no trial was measured, or a point lacks a parameter or lies outside the study's range.
        """
        space = self._relative_space(study)
        if not space:
            raise UsageError("a region needs a parameter that every completed trial has, got none: run the study first")
        with self._lock:
            measured, _ = self._trials.read(study)
            model = self._model_of(space)
            estimator = model.estimator(measured)
        units = []
        for point in points:
            unit_D = model.parameters.unit(point)
            if unit_D is None:
                raise UsageError(
                    f"a point must hold a value within its range for {', '.join(space)}, got {dict(point)}"
                )
            units.append(unit_D)
        return estimator.probabilities(np.array(units).reshape(len(units), len(space)))

    def _relative_space(self, study: Study) -> dict[str, BaseDistribution]:
        space = self._space
        if space is None:
            space = intersection_search_space(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
        return {name: distribution for name, distribution in space.items() if modelled(distribution)}

    @single_threaded_blas
    def _proposal(self, study: Study, trial: FrozenTrial, space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
        measured, running = self._trials.read(study)
        known, unknown = [], 0
        for other in running:
            point = point_of(other, space)
            if other.number == trial.number:
                continue
            if point.keys() >= space.keys():
                known.append(point)
            elif other.number < trial.number:
                unknown += 1
        return self._model_of(space).propose(measured, known, unknown)

    def _model_of(self, space: Mapping[str, BaseDistribution]) -> UserModel:
        if self._model is None or self._model[0] != space:
            seed = derived_seed(self._seed, "boundary sampler")
            self._model = (dict(space), UserModel(space, self._responses, seed, self._startup_trials))
        return self._model[1]
