"""Chooses the next point from finished and running trials: start-up points first, then the best score in a pool.

Axes: B trials running, C points of the pool, D axes of the space.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradstab.regression.coordinates import Array
from gradstab.sampling.acquisition import acquisition
from gradstab.sampling.region_model import Pool, RegionModel, ToldTrials, identities, pack_keys
from gradstab.sampling.start_up import start_up_points

_OPEN_KEYS = 4  # most pack keys among running trials: one key costs more trials, many keys cost more packs
_DIGITS = 9  # digits of a score that are compared: the last digits depend on how often the model was updated


class BoundarySearch:
    """Proposes one point at a time, each as if all running trials turned out as expected (kriging believer).

    Args:
        model: updated by this search; others may read it.
        seed: seed of the start-up points.
        repeats: whether a finished trial's point may be proposed while there are others; it says nothing new where a
            trial always gives the same result.
    """

    def __init__(self, model: RegionModel, seed: int, *, repeats: bool = True) -> None:
        self.model = model
        self._repeats = repeats
        self._start_up_SD = start_up_points(model.coordinates, seed)
        self._believed: list[Array] | None = None
        self._told: tuple[int, ...] = ()
        self._free_C: NDArray[np.bool_] = np.empty(0, dtype=bool)

    def propose(self, measured: ToldTrials, running_BD: Array) -> Array:
        """Unit coordinates of the next trial, shape (D,); none of the running ones while the space has others."""
        self.model.update(measured)
        if measured.numbers != self._told:
            self._told, self._believed = measured.numbers, None
        if not self.model.ready:
            return self._start_up(np.concatenate([measured.unit_ND, running_BD]))
        believed = self._believe(measured, running_BD)
        choice_C = self._open(running_BD)
        scores_C = acquisition(self.model.surrogates, [candidates.posterior for candidates in self.model.candidates])
        best = int(np.argmax(np.where(choice_C, np.round(scores_C, _DIGITS), -np.inf)))
        for candidates in self.model.candidates:
            candidates.pick(best)
        self._free_C[best] = False
        point_D: Array = self._pool.unit_CD[best]
        believed.append(point_D)
        return point_D

    @property
    def _pool(self) -> Pool:
        assert self.model.pool is not None  # a model that is ready has a pool
        return self.model.pool

    def _start_up(self, used_ND: Array) -> Array:
        used = {row.tobytes() for row in np.round(used_ND, _DIGITS)}
        for point_D in self._start_up_SD:
            if np.round(point_D, _DIGITS).tobytes() not in used:
                return np.asarray(point_D)
        return np.asarray(self._start_up_SD[len(used_ND) % len(self._start_up_SD)])

    def _believe(self, measured: ToldTrials, running_BD: Array) -> list[Array]:
        """Set the running trials; usually most of them are known already."""
        if self._believed is not None and len(self._believed) == len(running_BD):
            apart_BD = np.abs(np.reshape(self._believed, running_BD.shape) - running_BD)
            if (apart_BD < 10.0**-_DIGITS).all():
                return self._believed
        for candidates in self.model.candidates:
            candidates.believe(running_BD)
        self._believed = list(running_BD)
        self._free_C = np.ones(len(self._pool.unit_CD), dtype=bool)
        taken_ND = running_BD if self._repeats else np.concatenate([running_BD, measured.unit_ND])
        for identity in identities(self.model.coordinates, taken_ND):
            if identity in self._pool.index:
                self._free_C[self._pool.index[identity]] = False
        return self._believed

    def _open(self, running_BD: Array) -> NDArray[np.bool_]:
        """The points that may be proposed now."""
        free_C = self._free_C if self._free_C.any() else np.ones_like(self._free_C)
        keys = self._pool.keys
        running = keys.keys() & pack_keys(self.model.coordinates, running_BD)
        if len(running) < min(_OPEN_KEYS, len(keys)):
            return free_C
        shared_C = free_C & np.isin(self._pool.key_C, [keys[key] for key in running])
        return shared_C if shared_C.any() else free_C
