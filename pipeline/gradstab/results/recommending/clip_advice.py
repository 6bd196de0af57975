"""At which threshold to clip: from gradient norms on record, and from what clipped trainings of the study show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from gradstab.results.recommending.recorded_norms import (
    NormsOfPart,
    TrainingNorms,
    along_training,
    evenly_chosen,
    read_norms,
    share_above,
    threshold_acting_on,
)
from gradstab.results.trial_rows import MeasuredTrial, TrialRow, measured_trials
from gradstab.stability.clip_effect import (
    CLIP,
    CLIP_FIELDS,
    MODE,
    THRESHOLD,
    Cost,
    Saved,
    cost_by_region,
    saved_by_region,
    saved_in_pairs,
)
from gradstab.study.axes import Value

if TYPE_CHECKING:
    from gradstab.results.results import Results

ACTS_ON = 0.02  # of the steps of stable trainings: clipping is meant for the rare step
SHARES = (0.5, 0.1, ACTS_ON, 0.001)
LEAST_TRAININGS = 10
MOST_PLACES = 200
_BINS = 4
_NEAR = 2.0  # a threshold that was tried in pairs stands for those within this factor

Counted = Literal["pairs", "region"]
Judged = tuple[TrialRow, MeasuredTrial]


@dataclass(frozen=True)
class ThresholdEffect:
    """What clipping by norm at one threshold does.

    Attributes:
        share: of the steps of stable trainings in which it would act.
        saved: of the trainings that diverge without clipping; None where it cannot be known.
        cost: change of T where trainings are stable without clipping; None where it cannot be known.
    """

    threshold: float
    share: float
    saved: Saved | None
    cost: Cost | None


@dataclass(frozen=True)
class TriedThresholds:
    """The clipped trainings of a study in one band of thresholds.

    Attributes:
        acted: share of the steps of the stable ones in which clipping acted; None where none is stable.
        median_response: median of T; None where nothing is trained.
    """

    mode: str
    low: float
    high: float
    num_trainings: int
    num_stable: int
    acted: float | None
    median_response: float | None


@dataclass(frozen=True)
class ClipAdvice:
    """At which threshold to clip, and what is known of its effect.

    Attributes:
        threshold: acts on 2 % of the steps of stable trainings; None where there are too few of them, or where the
            study clips by value only, for which the norm tells no threshold.
        share: of the steps of stable trainings in which it acts.
        limited: whether the thresholds that were tried do not reach the one that acts on 2 %.
        num_trainings, num_steps: stable trainings whose norms were read.
        clipped: whether these were clipped themselves, because too few stable ones were not.
        along: the norms in each part of training.
        effects: other thresholds.
        tried: the clipped trainings of the study by threshold.
        saved, cost: of clipping at `threshold`.
        counted: how `saved` is known: from pairs of trials, or from the region model.
        num_diverged: trainings that diverged without clipping.
        has_clipped, has_unclipped: whether the study holds such trainings.
    """

    threshold: float | None
    share: float
    limited: bool
    num_trainings: int
    num_steps: int
    clipped: bool
    along: tuple[NormsOfPart, ...]
    effects: tuple[ThresholdEffect, ...]
    tried: tuple[TriedThresholds, ...]
    saved: Saved | None
    cost: Cost | None
    counted: Counted | None
    num_diverged: int
    has_clipped: bool
    has_unclipped: bool


def clip_advice(results: Results, at: Mapping[str, Value]) -> ClipAdvice | None:
    """The advice for trainings at the given choices; other values in `at` are not told apart. None without training."""
    if results.study.least_steps == 0:
        return None
    chosen = {name: at[name] for name in results.study.space.choices() if name in at and name not in CLIP_FIELDS}
    judged = [
        each
        for each in measured_trials(results.rows)
        if all(each[0].point[name] == value for name, value in chosen.items())
    ]
    stable = [row for row, trial in judged if trial.judgement.margin > 0 and trial.judgement.outcome != "diverged"]
    unclipped = [row for row in stable if not is_clipped(results, row)]
    clipped_alone = len(unclipped) < LEAST_TRAININGS
    norms = read_norms(stable if clipped_alone else unclipped)
    has_clipped = any(is_clipped(results, row) for row, _ in judged)
    diverged = [row for row, trial in judged if trial.judgement.outcome == "diverged" and not is_clipped(results, row)]
    found = _Effects(results, judged, unclipped, diverged)
    wanted = threshold_acting_on(norms, ACTS_ON) if len(norms) >= LEAST_TRAININGS and found.by_norm else None
    threshold = None if wanted is None else found.nearest_tried(wanted)
    return ClipAdvice(
        threshold=threshold,
        share=0.0 if threshold is None else share_above(norms, threshold),
        limited=threshold is not None and wanted is not None and not np.isclose(threshold, wanted),
        num_trainings=len(norms),
        num_steps=sum(len(one.norm_S) for one in norms),
        clipped=clipped_alone,
        along=along_training(norms) if norms else (),
        effects=tuple(found.effect(norms, each) for each in _thresholds(norms, threshold, found)),
        tried=tuple(_tried(results, judged)),
        saved=None if threshold is None else found.saved(threshold),
        cost=None if threshold is None else found.cost(threshold),
        counted=None if threshold is None or found.saved(threshold) is None else found.counted(threshold),
        num_diverged=len(diverged),
        has_clipped=has_clipped,
        has_unclipped=any(not is_clipped(results, row) for row, _ in judged),
    )


def is_clipped(results: Results, row: TrialRow) -> bool:
    """Whether a trial was trained with clipping."""
    return bool(row.point.get(CLIP, results.study.recipe.clip))


def _threshold_of(results: Results, row: TrialRow) -> float:
    return float(row.point.get(THRESHOLD, results.study.recipe.clip_threshold))


def _mode_of(results: Results, row: TrialRow) -> str:
    return str(row.point.get(MODE, results.study.recipe.clip_mode))


def _thresholds(norms: Sequence[TrainingNorms], threshold: float | None, found: _Effects) -> list[float]:
    """Thresholds for the table: those that act on given shares of the steps, as far as the study tried them."""
    if threshold is None:
        return []
    wanted = {found.nearest_tried(threshold_acting_on(norms, share)) for share in SHARES}
    return sorted({threshold, *wanted})


class _Effects:
    """What clipping at a threshold saves and costs, as far as the study's trials tell it."""

    def __init__(
        self, results: Results, judged: Sequence[Judged], stable: Sequence[TrialRow], diverged: Sequence[TrialRow]
    ) -> None:
        self._results = results
        space, recipe = results.study.space, results.study.recipe
        self._varied = CLIP in space.names()
        modes = space.axes[MODE].extremes() if MODE in space.axes else (recipe.clip_mode,)
        self.by_norm = not any(is_clipped(results, row) for row, _ in judged) or "norm" in modes
        self._stable = evenly_chosen([row.point for row in stable], MOST_PLACES)
        self._diverged = [row.point for row in diverged]
        self._pairs = self._counted_pairs(judged) if self._varied else {}
        self._saved: dict[float, Saved | None] = {}
        self._cost: dict[float, Cost | None] = {}

    def nearest_tried(self, threshold: float) -> float:
        """The threshold itself where the study tried such ones; else the nearest that it tried."""
        axis = self._results.study.space.axes.get(THRESHOLD)
        if not self._varied:
            return threshold
        if axis is None:
            return self._results.study.recipe.clip_threshold
        values = [float(value) for value in axis.extremes()]
        if axis.is_choice:
            return min(values, key=lambda value: abs(np.log(value / threshold)))
        return min(max(threshold, values[0]), values[-1])

    def counted(self, threshold: float) -> Counted:
        """How what is saved at a threshold is known."""
        return "region" if self._pair(threshold) is None else "pairs"

    def saved(self, threshold: float) -> Saved | None:
        """What clipping saves; None where the study does not vary clipping, or nothing diverged without it."""
        if threshold not in self._saved:
            known = self._pair(threshold)
            possible = self._varied and bool(self._diverged)
            if known is None and possible:
                known = saved_by_region(
                    self._results.estimator, evenly_chosen(self._diverged, MOST_PLACES), self._clipping(threshold)
                )
            self._saved[threshold] = known
        return self._saved[threshold]

    def cost(self, threshold: float) -> Cost | None:
        """What clipping costs in T; None where the study does not vary clipping, or T is not known."""
        if threshold not in self._cost:
            known = self._varied and len(self._stable) > 0 and "T" in self._results.measured.responses
            self._cost[threshold] = (
                cost_by_region(self._results.every_estimator.only("T"), self._stable, self._clipping(threshold))
                if known
                else None
            )
        return self._cost[threshold]

    def effect(self, norms: Sequence[TrainingNorms], threshold: float) -> ThresholdEffect:
        """All that is known of one threshold."""
        return ThresholdEffect(threshold, share_above(norms, threshold), self.saved(threshold), self.cost(threshold))

    def _clipping(self, threshold: float) -> dict[str, Value]:
        axes = self._results.study.space.axes
        wanted: dict[str, Value] = {CLIP: True, THRESHOLD: threshold, MODE: "norm"}
        return {name: value for name, value in wanted.items() if name in axes}

    def _pair(self, threshold: float) -> Saved | None:
        near = [tried for tried in self._pairs if 1 / _NEAR <= tried / threshold <= _NEAR]
        found = [self._pairs[tried] for tried in near if self._pairs[tried].of >= LEAST_TRAININGS]
        return found[0] if found else None

    def _counted_pairs(self, judged: Sequence[Judged]) -> dict[float, Saved]:
        return saved_in_pairs(
            [
                (
                    {**row.point, THRESHOLD: _threshold_of(self._results, row)},
                    trial.judgement.outcome == "diverged",
                    trial.judgement.margin > 0,
                )
                for row, trial in judged
                if _mode_of(self._results, row) == "norm" or not is_clipped(self._results, row)
            ]
        )


def _tried(results: Results, judged: Sequence[Judged]) -> list[TriedThresholds]:
    """Clipped trainings by threshold: each threshold for itself where there are few, else four bands of equal size."""
    rows = []
    clipped = [each for each in judged if is_clipped(results, each[0])]
    for mode in dict.fromkeys(_mode_of(results, row) for row, _ in clipped):
        mine = sorted(
            (each for each in clipped if _mode_of(results, each[0]) == mode),
            key=lambda each: _threshold_of(results, each[0]),
        )
        distinct = sorted({_threshold_of(results, row) for row, _ in mine})
        if len(distinct) <= _BINS:
            bands = [[each for each in mine if _threshold_of(results, each[0]) == value] for value in distinct]
        else:
            bands = [[mine[index] for index in part] for part in np.array_split(np.arange(len(mine)), _BINS)]
        rows += [_band(results, mode, band) for band in bands if band]
    return rows


def _band(results: Results, mode: str, band: Sequence[Judged]) -> TriedThresholds:
    stable = [row for row, trial in band if trial.judgement.margin > 0]
    norms = read_norms(stable)
    responses = [trial.judgement.training_response for _, trial in band]
    known = [value for value in responses if value is not None]
    return TriedThresholds(
        mode=mode,
        low=_threshold_of(results, band[0][0]),
        high=_threshold_of(results, band[-1][0]),
        num_trainings=len(band),
        num_stable=len(stable),
        acted=float(np.concatenate([one.acted_S for one in norms]).mean()) if norms else None,
        median_response=float(np.median(known)) if len(known) == len(band) else None,
    )
