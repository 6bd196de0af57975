"""Asks, tells and replays trials of an Optuna study. Only this module knows Optuna's trial states.

``optuna.load_study``, ``optuna.visualization`` and optuna-dashboard open the study as it is.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from gradstab.errors import StorageError
from gradstab.loop.ports import Proposal, SearchState, TrialValue
from gradstab.record.certificate import Certificate
from gradstab.record.shipping_order import RegionSoFar
from gradstab.sampling.region_model import RegionModel
from gradstab.search.audits import Attributes, Auditor
from gradstab.search.boundary_sampler import BoundarySampler
from gradstab.search.designs import derived_seed, design_of
from gradstab.search.history import ATTRIBUTE_PREFIX, History
from gradstab.search.optuna_study import open_study, require_same_study
from gradstab.search.retry_while_away import PATIENCE_SECONDS, RetryWhileAway
from gradstab.search.samplers import AdaptiveSampler, DesignSampler, distributions_of, suggested_value
from gradstab.search.storages import open_storage, storage_errors
from gradstab.study.axes import Value
from gradstab.study.response_band import ResponseBand
from gradstab.study.sampler_spec import AnySampler, BoundarySpec
from gradstab.study.space import SearchSpace
from gradstab.system.failpoints import failpoint
from gradstab.system.storage_url import Storage

_MAX_REASON = 500
_RETRY = ATTRIBUTE_PREFIX + "retry_of"


class OptunaSearcher:
    """The Searcher port on an Optuna study, which is created on first use and maximizes. `close` ends its connections.

    Args:
        storage: where the trials are kept.
        fingerprints: of this study, under every version in which it may have begun, oldest first.
        began_in: the version among those under which a new Optuna study is known; the newest by default.
        sampler_spec: a design proposes ``design[number // replicates]``; an adaptive sampler proposes
            at numbers divisible by `replicates`, and the numbers after it repeat that point.
        patience: seconds for which a server may be away during a study, once it was reached.
        report: called with a sentence when the server goes away and when it is back.
        bands: the judged responses, which the boundary sampler and audits look at.
        error: misclassified volume to certify by audits among the trials; None for no audits.

    Raises:
        UsageError: storage holds another study of this name.
        StudyHeldError: another process drives the study.
        StorageError: storage cannot be reached, read or written, or another driver has taken the study over. Every
            method may raise it.
    """

    def __init__(
        self,
        storage: Storage,
        study_name: str,
        space: SearchSpace,
        sampler_spec: AnySampler,
        *,
        study_seed: int,
        replicates: int = 1,
        fingerprints: Mapping[str, str] | None = None,
        began_in: str | None = None,
        patience: float = PATIENCE_SECONDS,
        report: Callable[[str], None] = lambda _: None,
        bands: Sequence[ResponseBand] = (),
        error: float | None = None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._place = storage
        self._name = study_name
        self._space = space
        self._replicates = replicates
        self._distributions = distributions_of(space)
        self._design = design_of(sampler_spec, space, study_seed)
        self._auditor: Auditor | None = None
        sampler = self._sampler(sampler_spec, bands, study_seed)
        self._model = sampler.model if isinstance(sampler, BoundarySampler) else None
        if error is not None:
            history = sampler.history if isinstance(sampler, BoundarySampler) else History(space, bands)
            self._model = self._model or RegionModel(space, bands, derived_seed(study_seed, "model"))
            self._auditor = Auditor(space, history, self._model, error, study_seed=study_seed, replicates=replicates)
        opened = open_storage(storage, study_name)
        self._patient = RetryWhileAway(storage, patience, report)
        self._storage = opened.storage
        self._retries: dict[int, int] = {}  # new number to the failed one
        self.close = opened.close
        self._created, self._batched_tells = opened.created, opened.batched_tells
        with storage_errors(self._place):
            self._study = open_study(self._storage, study_name, sampler)
            self._study_id = self._storage.get_study_id_from_name(study_name)
            require_same_study(self._study, storage, fingerprints or {}, began_in)

    def _sampler(self, spec: AnySampler, bands: Sequence[ResponseBand], study_seed: int) -> BaseSampler:
        if self._design is not None:
            return DesignSampler(self._design, self._distributions, self._replicates)
        if isinstance(spec, BoundarySpec):
            return BoundarySampler(self._space, bands, seed=derived_seed(study_seed, "boundary sampler"))
        return AdaptiveSampler(spec, self._distributions, study_seed)

    def state(self) -> SearchState:
        """The trials that storage holds now. Trials created without all their parameters get the missing ones first."""
        return self._patient(self._state)

    def _state(self) -> SearchState:
        told, failed, running = set(), set(), []
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state == TrialState.COMPLETE:
                told.add(trial.number)
            elif trial.state.is_finished():
                failed.add(trial.number)
            elif (proposal := self._completed(trial)) is not None:
                running.append(replace(proposal, retry_of=trial.user_attrs.get(_RETRY)))
            else:
                failed.add(trial.number)
            if _RETRY in trial.user_attrs:
                self._retries[trial.number] = int(trial.user_attrs[_RETRY])
        return SearchState(frozenset(told), frozenset(failed), tuple(running), dict(self._retries))

    def values(self) -> dict[int, float]:
        """The value of every completed trial, by number."""

        def read() -> dict[int, float]:
            trials = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            return {trial.number: trial.value for trial in trials if trial.value is not None}

        return self._patient(read)

    def proposal(self, number: int) -> Proposal:
        """The point of a trial, finished or not."""
        trial = self._patient(lambda: self._storage.get_trial(self._trial_id(number)))
        params = trial.params
        if not params.keys() >= self._distributions.keys():
            raise StorageError(
                f"trial {number} of study {self._name!r} lacks a value for some axis, it has {sorted(params)}: "
                "another program added it"
            )
        return Proposal(number, self._ordered(params), trial.user_attrs.get(_RETRY))

    def ask_again(self, numbers: Sequence[int]) -> list[Proposal]:
        """Create new trials, under new numbers, at the points of failed ones; each failed trial only once."""

        def create() -> list[Proposal]:
            with self._created():
                asked = set(self._state().retries.values())
                for number in numbers:
                    if number not in asked:
                        known = self.proposal(number).point
                        self._new_trial(self._storage.get_n_trials(self._study_id), known, retry_of=number)
                return [proposal for proposal in self._state().running if proposal.retry_of in numbers]

        return self._patient(create)

    def ask(self, count: int) -> list[Proposal]:
        """`count` new trials, numbered consecutively and running in storage."""
        first: int | None = None
        asked: list[Proposal] = []

        def create() -> list[Proposal]:
            nonlocal first
            with self._created():
                if first is None:
                    self._start_waiting()
                    first = self._storage.get_n_trials(self._study_id)
                else:  # storage was away; what it was creating may be there all the same, in part or whole
                    there = self._study.get_trials(deepcopy=False)[first + len(asked) :]
                    asked.extend(proposal for trial in there if (proposal := self._completed(trial)) is not None)
                while len(asked) < count:
                    asked.append(self._new_trial(first + len(asked)))
            return asked

        return self._patient(create)

    def remove(self) -> None:
        """Delete the study with all its trials."""
        self._patient(lambda: self._storage.delete_study(self._study_id))

    def restore(self, points: Mapping[int, dict[str, Value]], retries: Mapping[int, int]) -> None:
        """Create again, running, what storage lost: every number from its first missing one to the largest given."""

        def create() -> None:
            with self._created():
                for number in range(self._storage.get_n_trials(self._study_id), max(points, default=-1) + 1):
                    self._new_trial(number, points.get(number), retry_of=retries.get(number))

        self._patient(create)

    def tell(self, result: TrialValue) -> None:
        """Complete a running trial, attributes first; does nothing where it is finished.

        Raises:
            ValueError: a number told is not finite, which Optuna's samplers would silently drop.
        """
        for name, value in {"margin": result.margin, **result.attributes}.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} of trial {result.number} must be finite, got {value}")
        self._finish(result.number, result.attributes, TrialState.COMPLETE, result.margin)

    def tell_failure(self, number: int, reason: str) -> None:
        """End a running trial as FAIL; does nothing where it is finished."""
        self._finish(number, {"failure": reason[:_MAX_REASON]}, TrialState.FAIL, None)

    def certificate(self) -> Certificate | None:
        """What the trials told so far certify; None where nothing is audited."""
        auditor = self._auditor
        return None if auditor is None else self._patient(lambda: auditor.certificate(self._study))

    def region_so_far(self) -> RegionSoFar | None:
        """What the model of the sampler or of the audits says, from the trials that it knows already."""
        return None if self._model is None else self._model.region_so_far()

    @contextlib.contextmanager
    def batched_tells(self) -> Iterator[None]:
        """Tell different trials within: a journal takes them in one write, at the end."""
        with storage_errors(self._place), self._batched_tells():
            yield

    def _finish(self, number: int, attributes: dict[str, Any], state: TrialState, value: float | None) -> None:
        def finish() -> None:
            trial_id = self._trial_id(number)
            if self._storage.get_trial(trial_id).state.is_finished():
                return
            try:
                for name, attribute in attributes.items():
                    self._storage.set_trial_user_attr(trial_id, ATTRIBUTE_PREFIX + name, attribute)
                failpoint("tell")
                self._study.tell(number, value, state=state, skip_if_finished=True)
            except UpdateFinishedTrialError:
                return

        self._patient(finish)

    def _new_trial(
        self, number: int, known: dict[str, Value] | None = None, *, retry_of: int | None = None
    ) -> Proposal:
        link: Attributes = {} if retry_of is None else {_RETRY: retry_of}
        self._retries.update({} if retry_of is None else {number: retry_of})
        settled = self._settled(number) if known is None else (known, link)
        if settled is None:
            trial = self._study.ask(self._distributions)
            alone, point = trial.number == number, self._ordered(trial.params)
        else:
            # one record with all parameters: no moment at which a kill could leave half a trial
            point, attributes = settled
            running = create_trial(
                state=TrialState.RUNNING, params=point, distributions=self._distributions, user_attrs=attributes
            )
            trial_id = self._storage.create_new_trial(self._study_id, running)
            # asked the other way round, a database would be read for the whole trial
            alone = self._trial_id(number) == trial_id
            failpoint("ask")
        if not alone:
            raise StorageError(
                f"another process created trial {number} of study {self._name!r} in {self._place}: "
                "stop that process and run the study again"
            )
        return Proposal(number, point)

    def _settled(self, number: int) -> tuple[dict[str, Value], Attributes] | None:
        """Point and attributes of a number that no sampler decides: an audit, a point of a design, or a replicate."""
        first = number - number % self._replicates
        if self._design is not None and self._auditor is None:
            return self._design.point(self._index(number)), {}
        if number != first:
            params = self._storage.get_trial(self._trial_id(first)).params
            if params.keys() >= self._distributions.keys():
                return self._ordered(params), {}
        elif self._auditor is not None and (audit := self._auditor.audit_for(self._study, number)) is not None:
            point, attributes = audit
            return self._ordered(point), attributes
        return None if self._design is None else (self._design.point(self._index(number)), {})

    def _index(self, number: int) -> int:
        """Index in the design; numbers of retries are not counted."""
        return (number - sum(retry < number for retry in self._retries)) // self._replicates

    def _completed(self, trial: FrozenTrial) -> Proposal | None:
        """The proposal of an unfinished trial; None if its parameters do not fit the space: then it ends as FAIL."""
        waiting = trial.state == TrialState.WAITING
        if not waiting and trial.params.keys() >= self._distributions.keys():
            return Proposal(trial.number, self._ordered(trial.params))
        trial_id = self._trial_id(trial.number)
        if waiting:
            self._storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        resumed = Trial(self._study, trial_id)
        try:
            return Proposal(
                trial.number, {name: suggested_value(resumed, name, axis) for name, axis in self._space.items()}
            )
        except ValueError as error:
            self.tell_failure(trial.number, f"its parameters do not fit the space: {error}")
            return None

    def _start_waiting(self) -> None:
        """Set trials that the user enqueued to running; they keep their numbers and run at the next resume."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self._storage.set_trial_state_values(self._trial_id(trial.number), TrialState.RUNNING)

    def _trial_id(self, number: int) -> int:
        try:
            return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        except KeyError:
            raise StorageError(
                f"study {self._name!r} in {self._place} has no trial {number}: the trial belongs to another storage"
            ) from None

    def _ordered(self, params: dict[str, Any]) -> dict[str, Value]:
        return {name: params[name] for name in self._space.names()}
