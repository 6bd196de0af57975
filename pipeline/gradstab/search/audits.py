"""Audit trials: uniform points with a forecast of p_region that is frozen before they run, to check the model.

Everything about them is in storage, so that a reopened study knows it: `gs.audit`, `gs.p_region` and
`gs.expected_error` on an audit, `gs.replicate_of` on another training of an audit's point. Audits work with every
sampler: they take the trial numbers that they need.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from gradstab.record.certificate import Certificate
from gradstab.regression.fitting import fit_surrogate
from gradstab.regression.health import pooled_noise
from gradstab.regression.single_threaded_blas import single_threaded_blas
from gradstab.sampling.region_model import RegionModel
from gradstab.search.designs import RandomDesign, derived_seed
from gradstab.search.history import ATTRIBUTE_PREFIX, History
from gradstab.stability.certificate import REPLICATED_POINTS, TRAININGS_A_POINT, Audit, NoiseCheck, certify
from gradstab.study.axes import Value
from gradstab.study.space import SearchSpace

SHARE = 0.1  # share of trials that are audits until the model claims to be good enough
_AUDIT, _FORECAST = ATTRIBUTE_PREFIX + "audit", ATTRIBUTE_PREFIX + "p_region"
_EXPECTED, _ORIGINAL = ATTRIBUTE_PREFIX + "expected_error", ATTRIBUTE_PREFIX + "replicate_of"

Attributes = dict[str, bool | int | float]


class Auditor:
    """Decides which trial numbers are audits, and judges what the audits so far certify.

    Args:
        history: trials of the audited study.
        model: the model that is checked; shared with the sampler if that has one.
        error: the misclassified volume to certify.
        replicates: trainings of each point, consecutive numbers.
    """

    def __init__(
        self,
        space: SearchSpace,
        history: History,
        model: RegionModel,
        error: float,
        *,
        study_seed: int,
        replicates: int = 1,
    ) -> None:
        self._history, self._model, self._error = history, model, error
        self._study_seed, self._replicates = study_seed, replicates
        self._fitted: tuple[int, dict[str, float]] = (0, {})
        self._uniform = RandomDesign(space, derived_seed(study_seed, "audits"))

    @single_threaded_blas
    def audit_for(self, study: Study, number: int) -> tuple[dict[str, Value], Attributes] | None:
        """Point and attributes of a trial number that is an audit or repeats one; None for other numbers.

        The number must be the first of its point."""
        self._bring_up_to_date(study)
        if not self._model.ready:
            return None
        claimed = self._model.misclassified_volume
        if claimed < self._error:
            original = self._to_replicate(study)
            if original is not None:
                return dict(original.params), {_ORIGINAL: original.number}
        elif derived_seed(self._study_seed, "is an audit", number) >= SHARE * 2**64:
            return None
        point = self._uniform.point(number)
        p_region = float(self._model.estimator.at([point]).p_region[0])
        return point, {_AUDIT: True, _FORECAST: p_region, _EXPECTED: claimed}

    @single_threaded_blas
    def certificate(self, study: Study) -> Certificate:
        """The certificate from what storage holds."""
        self._bring_up_to_date(study)
        told = len(self._history.measured.numbers)
        if not self._model.ready:
            return certify(self._error, self._model.misclassified_volume, told, (), (), 0)
        trials = study.get_trials(deepcopy=False)
        noise, num_replicated = self._noise(trials)
        return certify(self._error, self._model.misclassified_volume, told, self._audits(trials), noise, num_replicated)

    def _bring_up_to_date(self, study: Study) -> None:
        self._history.read(study)
        self._model.update(self._history.measured)

    def _audits(self, trials: Sequence[FrozenTrial]) -> list[Audit]:
        audits = []
        for trial in trials:
            told = self._history.told(trial.number)
            if told is not None and _AUDIT in trial.user_attrs:
                pairs = zip(self._model.bands, told.response_R, strict=True)
                inside = all(bool(band.contains(response)) for band, response in pairs)
                audits.append(Audit(trial.user_attrs[_FORECAST], trial.user_attrs[_EXPECTED], inside))
        return audits

    def _to_replicate(self, study: Study) -> FrozenTrial | None:
        """The first audit point that is not yet, or about to be, trained often enough."""
        trials = study.get_trials(deepcopy=False)
        alive = [trial for trial in trials if trial.state in {TrialState.COMPLETE, TrialState.RUNNING}]
        trained = self._by_original(trials, alive)
        told = [number for number in trained if self._history.told(number) is not None]
        for number in told[:REPLICATED_POINTS]:
            if len(trained[number]) < TRAININGS_A_POINT:
                return trials[number]
        return None

    def _noise(self, trials: Sequence[FrozenTrial]) -> tuple[list[NoiseCheck], int]:
        """Noise of each response over audit points trained often enough, and the number of these points."""
        told = [trial for trial in trials if self._history.told(trial.number) is not None]
        groups = [group for group in self._by_original(trials, told).values() if len(group) >= TRAININGS_A_POINT]
        rows = [row for group in groups for number in group if (row := self._history.told(number)) is not None]
        if not rows:
            return [], 0
        unit_ND = np.array([row.unit_D for row in rows])
        checks = []
        for index, surrogate in enumerate(self._model.surrogates):
            pooled, freedom = pooled_noise(surrogate, unit_ND, np.array([row.response_R[index] for row in rows]))
            fitted = self._noise_of_first_trainings(trials)[surrogate.band.name]
            checks.append(NoiseCheck(surrogate.band.name, fitted, pooled or 0.0, freedom))
        return checks, len(groups)

    def _noise_of_first_trainings(self, trials: Sequence[FrozenTrial]) -> dict[str, float]:
        """Noise estimated without the repeated trainings that it is compared with.

        A model that sees repeated trainings learns their noise and takes the roughness of a boundary for signal.
        Without them it takes the roughness for noise, and the comparison shows it.
        """
        count = self._model.num_fitted
        if self._fitted[0] != count:
            measured, first = self._history.measured, []
            for row, number in enumerate(measured.numbers[:count]):
                if number % self._replicates == 0 and _ORIGINAL not in trials[number].user_attrs:
                    first.append(row)
            noise = {
                band.name: fit_surrogate(
                    self._model.coordinates, measured.unit_ND[first], measured.responses[band.name][first], band
                ).hyper.noise
                for band in self._model.bands
            }
            self._fitted = (count, noise)
        return self._fitted[1]

    def _by_original(self, trials: Sequence[FrozenTrial], some: Sequence[FrozenTrial]) -> dict[int, list[int]]:
        """Numbers among `some` that train the point of an audit, by the audit's number, in order."""
        groups: dict[int, list[int]] = {}
        for trial in some:
            first = trials[trial.number - trial.number % self._replicates]
            original = trials[first.user_attrs.get(_ORIGINAL, first.number)]
            if _AUDIT in original.user_attrs:
                groups.setdefault(original.number, []).append(trial.number)
        return groups
