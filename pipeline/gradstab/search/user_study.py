"""The trials of a user's Optuna study: what finished ones measured, and where running ones are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from gradstab.search.history import still_running
from gradstab.search.user_responses import UserResponses

_ENQUEUED = "fixed_params"  # Optuna's own attribute of a trial that the user enqueued
_PROPOSED = "gradstab:proposed"
_STATES = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


@dataclass(frozen=True)
class Measured:
    """A finished trial that counts.

    Attributes:
        key: unlike that of any other trial this process has read, also of other studies.
        params: its parameters.
        responses: as the user gave them, in the order of the bands.
    """

    key: int
    params: Mapping[str, Any]
    responses: tuple[float, ...]


class UserStudy:
    """Reads trials of any study; each finished trial is read once.

    Left out are failed trials, those for which the user's function returns None, and pruned trials without responses.
    """

    def __init__(self, responses: UserResponses) -> None:
        self._responses = responses
        self._known: dict[tuple[int, datetime | None, datetime | None], Measured | None] = {}

    def read(self, study: Study) -> tuple[list[Measured], list[FrozenTrial]]:
        """Finished trials that count, in the order in which they ended, and running ones by number.

        Running trials that many later ones have overtaken are left out: their worker has died.

        Raises:
            UsageError: a completed trial has no responses.
        """
        trials = study.get_trials(deepcopy=False, states=_STATES)
        finished = [trial for trial in trials if trial.state != TrialState.RUNNING]
        # every process must see the same order; numbers alone would put a late trial into the middle of a fit
        finished.sort(key=lambda trial: (trial.datetime_complete, trial.number))
        measured = [one for trial in finished if (one := self._measured(trial)) is not None]
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        return measured, still_running(running, [trial.number for trial in finished])

    def _measured(self, trial: FrozenTrial) -> Measured | None:
        which = (trial.number, trial.datetime_start, trial.datetime_complete)
        if which not in self._known:
            responses = self._responses.of(trial)
            self._known[which] = None if responses is None else Measured(len(self._known), trial.params, responses)
        return self._known[which]


def share(study: Study, trial: FrozenTrial, space: Mapping[str, BaseDistribution], params: Mapping[str, Any]) -> None:
    """Let other workers know a trial's point before the objective asks for its parameters, one by one.

    Values are stored as Optuna stores parameters, so that any choice can be written. Optuna has no public way for a
    sampler to do this; its own samplers do the same.
    """
    proposed = {name: space[name].to_internal_repr(value) for name, value in params.items()}
    study._storage.set_trial_system_attr(trial._trial_id, _PROPOSED, proposed)


def point_of(trial: FrozenTrial, space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """What is known of a running trial's parameters; those that the user enqueued come before proposed ones."""
    proposed = trial.system_attrs.get(_PROPOSED, {})
    shared = {name: space[name].to_external_repr(value) for name, value in proposed.items() if name in space}
    return {**shared, **trial.system_attrs.get(_ENQUEUED, {}), **trial.params}
