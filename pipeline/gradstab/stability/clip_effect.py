"""What clipping saves of the trainings that diverge without it, and what it costs those that train without it.

Axes: S draws, N trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from gradstab.regression.coordinates import Array
from gradstab.regression.single_threaded_blas import single_threaded_blas
from gradstab.stability.drawn_surface import NUM_DRAWS, DrawnSurface
from gradstab.stability.estimator import Estimator
from gradstab.stability.region import INTERVAL
from gradstab.study.axes import Value
from gradstab.study.space import Point

CLIP, THRESHOLD, MODE = CLIP_FIELDS = ("clip", "clip_threshold", "clip_mode")
_NEAREST, _LEAST_ALIKE, _FACTOR = 3, 10, 2.0


@dataclass(frozen=True)
class Saved:
    """Trainings that diverge without clipping and are stable with it.

    Attributes:
        number: how many; by the region an expected number.
        low, high: they hold the number with probability .9; None where it was counted.
        of: how many diverge without it.
    """

    number: float
    low: float | None
    high: float | None
    of: int


@dataclass(frozen=True)
class Cost:
    """Change of T, in decades, that clipping makes where trainings are stable without it, with a 90 % interval."""

    change: float
    low: float
    high: float
    num_places: int


@single_threaded_blas
def saved_by_region(estimator: Estimator, diverged: Sequence[Point], clipping: Mapping[str, Value]) -> Saved:
    """How many of the diverged trainings are expected to be stable with this clipping.

    The region model forecasts each. The sum is corrected by how far it misses the clipped trials nearest to them that
    it has not seen: without that, a boundary that it draws too far out counts in full.
    """
    unit_ND = estimator.coordinates.unit([{**point, **clipping} for point in diverged])
    p_SN = DrawnSurface(estimator, unit_ND).stable()
    rng = np.random.default_rng(1)
    missed, spread = _missed_nearby(estimator, unit_ND, clipping)
    count_S = (rng.random(p_SN.shape) < p_SN).sum(axis=1) + missed + spread * rng.standard_normal(len(p_SN))
    low, high = np.clip(np.quantile(count_S, INTERVAL), 0, len(diverged)).tolist()
    number = float(np.clip(p_SN.sum(axis=1).mean() + missed, low, high))
    return Saved(number, low, high, len(diverged))


def _missed_nearby(estimator: Estimator, unit_ND: Array, clipping: Mapping[str, Value]) -> tuple[float, float]:
    """What must be added to a sum of forecasts at points, from the clipped trials nearest to each, and its error.

    Source: the correction is that of prediction-powered inference, Angelopoulos et al. 2023.
    """
    first, *others = estimator.surrogates
    if any(not np.array_equal(first.unit_AD, other.unit_AD) for other in others):
        return 0.0, 0.0  # beyond 2,000 trials each response chooses its own
    p_A, stable_A = np.ones(len(first.unit_AD)), np.ones(len(first.unit_AD), dtype=bool)
    for surrogate in estimator.surrogates:
        mean_A, sd_A = surrogate.leave_one_out()
        value_A = surrogate.target_A + surrogate.centre
        low, high = surrogate.warp(np.array([surrogate.band.low, surrogate.band.high]))
        p_A *= ndtr((high - mean_A) / sd_A) - ndtr((low - mean_A) / sd_A)
        stable_A &= (value_A > low) & (value_A < high)
    alike = np.flatnonzero([_is_alike(point, clipping) for point in estimator.coordinates.points(first.unit_AD)])
    if len(alike) < _LEAST_ALIKE:
        return 0.0, 0.0
    correlation_NK = first.covariance(unit_ND, first.unit_AD[alike])
    nearest_NK = np.argsort(-correlation_NK, axis=1, kind="stable")[:, :_NEAREST]
    weight_K = np.bincount(nearest_NK.ravel(), minlength=len(alike)) / _NEAREST
    p_K = p_A[alike]
    return float(weight_K @ (stable_A[alike] - p_K)), float(np.sqrt(weight_K**2 @ (p_K * (1 - p_K))))


def _is_alike(point: Point, clipping: Mapping[str, Value]) -> bool:
    """Whether a trial is clipped as is asked: at a threshold within a factor of two, and in the same mode."""
    for name, value in clipping.items():
        if name == THRESHOLD:
            if not 1 / _FACTOR <= float(point[name]) / float(value) <= _FACTOR:
                return False
        elif point[name] != value:
            return False
    return True


@single_threaded_blas
def cost_by_region(training: Estimator, stable: Sequence[Point], clipping: Mapping[str, Value]) -> Cost:
    """How much this clipping changes T at the places of trainings that are stable without it.

    Args:
        training: the estimator of T alone.
    """
    (surrogate,) = training.surrogates
    places = [*stable, *({**point, **clipping} for point in stable)]
    drawn_SM = surrogate.draws(training.coordinates.unit(places), NUM_DRAWS, np.random.default_rng(0))
    value_SM = surrogate.warp.inverse(drawn_SM)
    change_S = (value_SM[:, len(stable) :] - value_SM[:, : len(stable)]).mean(axis=1)
    low, high = np.quantile(change_S, INTERVAL).tolist()
    return Cost(float(change_S.mean()), low, high, len(stable))


def saved_in_pairs(trials: Sequence[tuple[Point, bool, bool]]) -> dict[float, Saved]:
    """What clipping saved, counted by threshold, in trials of equal points with and without it.

    Args:
        trials: the point, the threshold being one of its values; whether the training diverged; whether it is stable.
    """
    without: dict[tuple[object, ...], list[bool]] = {}
    with_it: dict[tuple[object, ...], list[tuple[float, bool]]] = {}
    for point, diverged, stable in trials:
        place = tuple((name, value) for name, value in sorted(point.items()) if name not in CLIP_FIELDS)
        if point[CLIP]:
            with_it.setdefault(place, []).append((float(point[THRESHOLD]), stable))
        else:
            without.setdefault(place, []).append(diverged)
    counted: dict[float, list[bool]] = {}
    for where, diverged_there in without.items():
        if all(diverged_there):
            for threshold, stable in with_it.get(where, []):
                counted.setdefault(threshold, []).append(stable)
    return {threshold: Saved(sum(found), None, None, len(found)) for threshold, found in sorted(counted.items())}
