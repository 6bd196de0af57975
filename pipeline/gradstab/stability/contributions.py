"""The contribution of each axis: the share of variance that involves it (Sobol's total effect).

Over the whole space, evenly in search coordinates, and of the surrogates' means: trials that crowd at a boundary do
not bias it. Source: Jansen 1999; Saltelli et al. 2010, table 2(f). Axes: M cells, D axes of the space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradstab.regression.coordinates import Array
from gradstab.stability.estimator import Estimator

_LOG2_CELLS = 10


@dataclass(frozen=True)
class Contribution:
    """How much one axis matters.

    Attributes:
        of_region: share of the variance of "in band or not"; shares of axes that interact add up to more than 1.
        of_response: the same for each median response, warped.
        length_scale: by response, the part of the axis over which the response changes.
    """

    axis: str
    of_region: float
    of_response: dict[str, float]
    length_scale: dict[str, float]


def contributions(estimator: Estimator) -> list[Contribution]:
    """The contribution of every axis, in the order of the space."""
    coordinates = estimator.coordinates
    a_MD, b_MD = (coordinates.snapped(coordinates.sobol(_LOG2_CELLS, seed)) for seed in (1, 2))
    # two scrambles of one sequence move in step: only another order makes them independent
    b_MD = np.random.default_rng(0).permutation(b_MD)
    base = _fields(estimator, a_MD)
    found = []
    for column, name in enumerate(coordinates.names):
        mixed_MD = a_MD.copy()
        mixed_MD[:, column] = b_MD[:, column]
        mixed = _fields(estimator, mixed_MD)
        share = {field: _total_effect(base[field], mixed[field]) for field in base}
        found.append(
            Contribution(
                axis=name,
                of_region=share.pop(""),
                of_response=share,
                length_scale={s.band.name: float(s.hyper.length_scale_D[column]) for s in estimator.surrogates},
            )
        )
    return found


def _fields(estimator: Estimator, unit_MD: Array) -> dict[str, Array]:
    """The median of each response at cells, and under "" whether all are in band."""
    fields: dict[str, Array] = {surrogate.band.name: surrogate.mean(unit_MD) for surrogate in estimator.surrogates}
    inside = [s.band.contains(s.warp.inverse(fields[s.band.name])) for s in estimator.surrogates]
    return {**fields, "": np.asarray(np.stack(inside).all(axis=0), dtype=np.float64)}


def _total_effect(base_M: Array, mixed_M: Array) -> float:
    variance = float(base_M.var())
    return float(((base_M - mixed_M) ** 2).mean()) / (2 * variance) if variance > 0 else 0.0
