"""What clipping saves of the trainings that diverge without it, and what it costs those that train without it.

Axes: S draws, N trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gradstab.regression.single_threaded_blas import single_threaded_blas
from gradstab.stability.drawn_surface import NUM_DRAWS, DrawnSurface
from gradstab.stability.estimator import Estimator
from gradstab.stability.region import INTERVAL
from gradstab.study.axes import Value
from gradstab.study.space import Point

CLIP, THRESHOLD, MODE = CLIP_FIELDS = ("clip", "clip_threshold", "clip_mode")


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
    """How many of the diverged trainings the region model expects to be stable with this clipping."""
    unit_ND = estimator.coordinates.unit([{**point, **clipping} for point in diverged])
    p_SN = DrawnSurface(estimator, unit_ND).stable()
    count_S = (np.random.default_rng(1).random(p_SN.shape) < p_SN).sum(axis=1)
    low, high = np.quantile(count_S, INTERVAL).tolist()
    return Saved(float(p_SN.sum(axis=1).mean()), low, high, len(diverged))


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
