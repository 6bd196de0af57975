"""The estimator of a study that is still running, kept up from trial to trial over a pool of points.

It follows from the trials told and their order alone: hyper-parameters are fitted on the first k trials, k from a fixed
schedule, and the rest are added under them. A process that opens the study anew therefore arrives at the same model.
Axes: N trials told, B trials running, C points of the pool, M cells of it, D axes of the space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradstab.errors import UsageError
from gradstab.regression.coordinates import Array, Coordinates
from gradstab.regression.fitting import fit_surrogate
from gradstab.regression.surrogate import Surrogate
from gradstab.sampling.acquisition import inside_probability
from gradstab.sampling.candidates import Candidates
from gradstab.sampling.start_up import num_start_up
from gradstab.stability.estimator import Estimator
from gradstab.study.recipe import structural_fields
from gradstab.study.response_band import ResponseBand
from gradstab.study.space import SearchSpace

_LOG2_CELLS = 10
_LOG2_LOOKED_AT = 12
_NEAR = 512  # points of the pool that lie nearest to an edge
# a fit holds until an eighth of its trials have come to it; a fourth, when fits are dear and say little that is new
_REFIT_SHARE, _MANY_TRIALS, _REFIT_SHARE_OF_MANY = 8, 400, 4
_POOL_KEYS = 8  # pack keys among those near points, where a number decides the key


@dataclass(frozen=True)
class ToldTrials:
    """Trials in the order in which they were told.

    Attributes:
        numbers: theirs.
        unit_ND: unit coordinates, snapped.
        responses: by name, shape (N,) each, finite.
    """

    numbers: tuple[int, ...]
    unit_ND: Array
    responses: Mapping[str, Array]


class RegionModel:
    """The posterior of every response over a pool: cells all over the space, and points near the boundary.

    Args:
        bands: the responses that are judged.
        seed: of the pools.

    Attributes:
        num_fitted: trials, the first ones told, on which hyper-parameters were fitted.

    Raises:
        UsageError: no response is judged.
    """

    def __init__(self, space: SearchSpace, bands: Sequence[ResponseBand], seed: int) -> None:
        if not bands:
            raise UsageError("a boundary must be that of at least one response's band, got no bands")
        self.coordinates = Coordinates(space)
        self.bands = tuple(bands)
        self.num_start_up = num_start_up(self.coordinates)
        self.pool: Pool | None = None
        self.candidates: list[Candidates] = []
        self._seed = seed
        self._known: tuple[int, ...] = ()
        self.num_fitted = 0
        self._volume: float | None = None

    @property
    def ready(self) -> bool:
        """Whether enough was told for a model."""
        return bool(self.candidates)

    def update(self, measured: ToldTrials) -> None:
        """Bring the model to these trials. If that changes it, all beliefs are given up."""
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
        self._known, self._volume = measured.numbers, None

    @property
    def surrogates(self) -> list[Surrogate]:
        """Those of the trials told, one a response."""
        return [candidates.surrogate for candidates in self.candidates]

    @property
    def estimator(self) -> Estimator:
        """That of the trials told."""
        return Estimator(self.coordinates, self.surrogates)

    @property
    def misclassified_volume(self) -> float:
        """Expected fraction of the space on the wrong side of p_region = 1/2, by the trials told; 1/2 before any."""
        if self._volume is None:
            self._volume = self._expected_volume()
        return self._volume

    def _expected_volume(self) -> float:
        if self.pool is None or not self.candidates:
            return 0.5
        p_C = np.prod([inside_probability(one.surrogate, one.told_posterior) for one in self.candidates], axis=0)
        return float(np.minimum(p_C, 1 - p_C)[self.pool.cell_M].mean())

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
    """Points that may be asked for, no two alike in effect.

    Attributes:
        unit_CD: snapped unit coordinates.
        cell_M: the point that stands for each of M cells of equal volume.
        index: the point of a row of features, see `identity`.
        key_C: the number of its pack key.
        keys: pack keys that there are, with their numbers.
    """

    unit_CD: Array
    cell_M: NDArray[np.int64]
    index: Mapping[bytes, int]
    key_C: NDArray[np.int64]
    keys: Mapping[bytes, int]


def identities(coordinates: Coordinates, unit_ND: Array) -> list[bytes]:
    """What points that are alike in effect share: features to nine digits."""
    return [row.tobytes() for row in np.round(coordinates.features(unit_ND), 9) + 0.0]  # no negative zero


def pack_keys(coordinates: Coordinates, unit_ND: Array) -> list[bytes]:
    """What points share whose trials may train in one pack."""
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
    if numeric:  # near points share few keys, so that there are several for each
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
    """How far the expected responses are from an edge of the region, in warped units, shape (L,)."""
    edge_R, beyond_R = [], []
    for surrogate in surrogates:
        mean_L = surrogate.mean(unit_LD)
        low, high = float(surrogate.warp(surrogate.band.low)), float(surrogate.warp(surrogate.band.high))
        edge_R.append(np.minimum(np.abs(mean_L - low), np.abs(mean_L - high)))
        beyond_R.append(np.maximum(0, np.maximum(low - mean_L, mean_L - high)))
    others_RL = np.sum(beyond_R, axis=0) - np.stack(beyond_R)
    return np.asarray(np.min(np.stack(edge_R) + others_RL, axis=0))


def _last_fit(first: int, count: int) -> int:
    """The last number of trials up to `count` at which a fit is due; 0 where there is none."""
    if count < first:
        return 0
    due = first
    while (following := due + max(1, due // (_REFIT_SHARE if due < _MANY_TRIALS else _REFIT_SHARE_OF_MANY))) <= count:
        due = following
    return due
