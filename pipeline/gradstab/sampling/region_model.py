"""The model of a running study's region over a pool of points, updated from trial to trial.

The model depends only on the finished trials and their order: hyper-parameters are fitted on the first k trials, with k
from a fixed schedule, and the other trials are added without a new fit. A process that reopens the study therefore gets
the same model.
Axes: N trials told, B trials running, C points of the pool, M cells of it, D axes of the space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradstab.errors import UsageError
from gradstab.record.shipping_order import RegionSoFar
from gradstab.regression.coordinates import Array, Coordinates
from gradstab.regression.fitting import fit_surrogate
from gradstab.regression.surrogate import Surrogate
from gradstab.sampling.acquisition import inside_probability
from gradstab.sampling.candidates import Candidates
from gradstab.sampling.start_up import num_start_up as least_start_up
from gradstab.stability.estimator import Estimator
from gradstab.study.recipe import structural_fields
from gradstab.study.response_band import ResponseBand
from gradstab.study.space import SearchSpace

_LOG2_CELLS = 10
_LOG2_LOOKED_AT = 12
_NEAR = 512  # points of the pool nearest to an edge
# a fit is repeated when its trials have grown by an eighth; by a fourth where fits are expensive and change little
_REFIT_SHARE, _MANY_TRIALS, _REFIT_SHARE_OF_MANY = 8, 400, 4
_POOL_KEYS = 8  # most pack keys among those near points where a numeric axis is part of the key


@dataclass(frozen=True)
class ToldTrials:
    """Finished trials in the order in which they were told.

    Attributes:
        numbers: trial numbers.
        unit_ND: unit coordinates, snapped.
        responses: finite values by response name, shape (N,) each.
    """

    numbers: tuple[int, ...]
    unit_ND: Array
    responses: Mapping[str, Array]


class RegionModel:
    """The posterior of every response over a pool: cells all over the space, and points near the boundary.

    Args:
        bands: the responses that are judged.
        seed: seed of the pools.
        num_start_up: number of trials before the model is used; by default what the axes and choices need.

    Attributes:
        num_fitted: number of trials, from the first, on which the hyper-parameters were fitted.

    Raises:
        UsageError: no response is judged.
    """

    def __init__(
        self, space: SearchSpace, bands: Sequence[ResponseBand], seed: int, num_start_up: int | None = None
    ) -> None:
        if not bands:
            raise UsageError("the boundary needs at least one response with a band, got none")
        self.coordinates = Coordinates(space)
        self.bands = tuple(bands)
        self.num_start_up = least_start_up(self.coordinates) if num_start_up is None else num_start_up
        self.pool: Pool | None = None
        self.candidates: list[Candidates] = []
        self._seed = seed
        self._known: tuple[int, ...] = ()
        self.num_fitted = 0
        self._inside_M: Array | None = None

    @property
    def ready(self) -> bool:
        """Whether there are enough finished trials for a model."""
        return bool(self.candidates)

    def update(self, measured: ToldTrials) -> None:
        """Update the model to these trials. If it changes, all beliefs are dropped."""
        count = len(measured.numbers)
        if measured.numbers == self._known:
            return
        due = _last_fit(self.num_start_up, count)
        grown = measured.numbers[: len(self._known)] == self._known
        if due == 0:
            self.candidates, self.num_fitted = [], 0
        elif due != self.num_fitted or not grown:
            self._fit(measured, due)
            self._tell(measured, due)
        else:
            self._tell(measured, len(self._known))
        self._known, self._inside_M = measured.numbers, None

    @property
    def surrogates(self) -> list[Surrogate]:
        """The surrogates of the finished trials, one per response."""
        return [candidates.surrogate for candidates in self.candidates]

    @property
    def estimator(self) -> Estimator:
        """The estimator from the finished trials."""
        return Estimator(self.coordinates, self.surrogates)

    @property
    def misclassified_volume(self) -> float:
        """Expected fraction of the space on the wrong side of p_region = 1/2; 1/2 before there is a model."""
        p_M = self._p_region()
        return 0.5 if p_M is None else float(np.minimum(p_M, 1 - p_M).mean())

    def region_so_far(self) -> RegionSoFar | None:
        """The volume of the region and of what may be misclassified; None before there is a model."""
        p_M = self._p_region()
        if p_M is None:
            return None
        misclassified = self.misclassified_volume
        return RegionSoFar(num_trials=len(self._known), volume=float(p_M.mean()), misclassified=misclassified)

    def _p_region(self) -> Array | None:
        """p_region of every cell; None before there is a model."""
        if self.pool is None or not self.candidates:
            return None
        if self._inside_M is None:
            inside = [inside_probability(one.surrogate, one.told_posterior) for one in self.candidates]
            self._inside_M = np.prod(inside, axis=0)[self.pool.cell_M]
        return self._inside_M

    def _fit(self, measured: ToldTrials, count: int) -> None:
        unit_ND = measured.unit_ND[:count]
        surrogates = [
            fit_surrogate(self.coordinates, unit_ND, measured.responses[band.name][:count], band) for band in self.bands
        ]
        self.pool = _pool(self.coordinates, surrogates, self._seed + count)
        self.candidates = [Candidates(surrogate, self.pool.unit_CD) for surrogate in surrogates]
        self.num_fitted = count

    def _tell(self, measured: ToldTrials, first: int) -> None:
        if first < len(measured.numbers):
            for band, candidates in zip(self.bands, self.candidates, strict=True):
                candidates.tell(measured.unit_ND[first:], measured.responses[band.name][first:])


@dataclass(frozen=True)
class Pool:
    """Points that may be proposed; no two of them have the same effect.

    Attributes:
        unit_CD: snapped unit coordinates.
        cell_M: the point of each of M cells of equal volume.
        index: the point of a row of features, see `identity`.
        key_C: number of the point's pack key.
        keys: all pack keys with their numbers.
    """

    unit_CD: Array
    cell_M: NDArray[np.int64]
    index: Mapping[bytes, int]
    key_C: NDArray[np.int64]
    keys: Mapping[bytes, int]


def identities(coordinates: Coordinates, unit_ND: Array) -> list[bytes]:
    """What points with the same effect share: their features to nine digits."""
    return [row.tobytes() for row in np.round(coordinates.features(unit_ND), 9) + 0.0]  # no negative zero


def pack_keys(coordinates: Coordinates, unit_ND: Array) -> list[bytes]:
    """What points share if their trials may train in one pack."""
    columns = [index for index, name in enumerate(coordinates.names) if name in structural_fields()]
    return [row.tobytes() for row in np.round(unit_ND[:, columns], 9)]


def _pool(coordinates: Coordinates, surrogates: Sequence[Surrogate], seed: int) -> Pool:
    cell_MD = coordinates.snapped(coordinates.sobol(_LOG2_CELLS, seed))
    looked_at_LD = coordinates.sobol(_LOG2_LOOKED_AT, seed + 1)
    numeric = [
        index
        for index, name in enumerate(coordinates.names)
        if name in structural_fields() and not coordinates.choice_D[index]
    ]
    if numeric:  # near points get few keys, so that there are several points for each key
        group_L = np.arange(len(looked_at_LD)) % _POOL_KEYS
        looked_at_LD[:, numeric] = coordinates.sobol(3, seed + 2)[group_L][:, numeric]
    looked_at_LD = coordinates.snapped(looked_at_LD)
    near_LD = looked_at_LD[np.argsort(_distance_to_edges(surrogates, looked_at_LD), kind="stable")[:_NEAR]]
    unit_CD = np.concatenate([cell_MD, near_LD])
    index: dict[bytes, int] = {}
    chosen: list[int] = []
    of_C = []
    for row, identity in enumerate(identities(coordinates, unit_CD)):
        if identity not in index:
            index[identity] = len(chosen)
            chosen.append(row)
        of_C.append(index[identity])
    unit_CD = unit_CD[chosen]
    of_point = pack_keys(coordinates, unit_CD)
    keys = {key: number for number, key in enumerate(dict.fromkeys(of_point))}
    key_C = np.array([keys[key] for key in of_point])
    return Pool(unit_CD, np.array(of_C[: len(cell_MD)]), index, key_C, keys)


def _distance_to_edges(surrogates: Sequence[Surrogate], unit_LD: Array) -> Array:
    """Distance of the expected responses from an edge of the region, in warped units, shape (L,)."""
    edge_R, beyond_R = [], []
    for surrogate in surrogates:
        mean_L = surrogate.mean(unit_LD)
        low, high = float(surrogate.warp(surrogate.band.low)), float(surrogate.warp(surrogate.band.high))
        edge_R.append(np.minimum(np.abs(mean_L - low), np.abs(mean_L - high)))
        beyond_R.append(np.maximum(0, np.maximum(low - mean_L, mean_L - high)))
    others_RL = np.sum(beyond_R, axis=0) - np.stack(beyond_R)
    return np.asarray(np.min(np.stack(edge_R) + others_RL, axis=0))


def _last_fit(first: int, count: int) -> int:
    """The last number of trials up to `count` at which a fit is due; 0 if there is none."""
    if count < first:
        return 0
    due = first
    while (following := due + max(1, due // (_REFIT_SHARE if due < _MANY_TRIALS else _REFIT_SHARE_OF_MANY))) <= count:
        due = following
    return due
