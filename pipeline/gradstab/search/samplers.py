"""Optuna samplers: one that reads a design by trial number, and adaptive ones over the full space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from optuna import Study
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState

from gradstab.search.designs import Design, derived_seed
from gradstab.study.axes import AnyAxis, Value
from gradstab.study.sampler_spec import AnySampler, CmaEsSpec, GpSpec
from gradstab.study.space import SearchSpace
from gradstab.system.failpoints import failpoint

_DISTRIBUTIONS: dict[str, type[BaseDistribution]] = {
    "float": FloatDistribution,
    "int": IntDistribution,
    "categorical": CategoricalDistribution,
}


def suggested_value(trial: Trial, name: str, axis: AnyAxis) -> Value:
    """The value that a trial's sampler gives an axis."""
    kind, arguments = axis.distribution()
    return cast(Value, getattr(trial, f"suggest_{kind}")(name, **arguments))


def distributions_of(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Optuna's distribution of every axis. A conditional axis stays a parameter of one fixed space."""
    return {name: _distribution(axis) for name, axis in space.items()}


def _distribution(axis: AnyAxis) -> BaseDistribution:
    kind, arguments = axis.distribution()
    return _DISTRIBUTIONS[kind](**arguments)


class DesignSampler(BaseSampler):
    """Proposes design[number // replicates], independently of results."""

    def __init__(self, design: Design, distributions: dict[str, BaseDistribution], replicates: int) -> None:
        self._design = design
        self._distributions = distributions
        self._replicates = replicates

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        return self._distributions

    def sample_relative(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],  # noqa: ARG002
    ) -> dict[str, Any]:
        return self._design.point(trial.number // self._replicates)

    def sample_independent(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,  # noqa: ARG002
    ) -> Any:
        return self._design.point(trial.number // self._replicates)[param_name]


class AdaptiveSampler(BaseSampler):
    """An Optuna sampler that is created anew for every trial, with a seed from (study seed, trial number).

    So a proposal depends on storage alone, and not on what a killed process knew. The sampler gets the full space,
    because ``ask`` with fixed distributions does not show it to a sampler before the first trial is told.
    """

    def __init__(self, spec: AnySampler, distributions: dict[str, BaseDistribution], study_seed: int) -> None:
        self._spec = spec
        self._study_seed = study_seed
        self._space = {name: d for name, d in distributions.items() if not d.single()}
        self._inner = self._made_for(0)

    def _made_for(self, number: int) -> BaseSampler:
        seed = derived_seed(self._study_seed, "sampler", number) % 2**32
        if isinstance(self._spec, CmaEsSpec):
            return CmaEsSampler(seed=seed, warn_independent_sampling=False)
        if isinstance(self._spec, GpSpec):
            return GPSampler(seed=seed, warn_independent_sampling=False)
        return TPESampler(seed=seed, multivariate=True)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        failpoint("ask")
        self._inner = self._made_for(trial.number)
        self._inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        return self._space

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._inner.after_trial(study, trial, state, values)
