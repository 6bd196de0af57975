"""Where a measured response crosses levels along one logarithmic axis, by the product's own Gaussian process.

Axes: N trials, K levels, S draws, M points of a grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradstab.regression.coordinates import Coordinates
from gradstab.regression.fitting import fit_surrogate
from gradstab.study.axes import LogReal
from gradstab.study.response_band import ResponseBand
from gradstab.study.space import SearchSpace

Array = NDArray[np.float64]

_FINE, _COARSE, _DRAWS = 20_001, 400, 400
_MARGIN = 0.15  # of the axis, around the crossings, in which draws are made


@dataclass(frozen=True)
class Crossing:
    """Where a response crosses a level.

    Attributes:
        value: by the posterior mean.
        draw_S: by each of many posterior draws.
        num_trials: trials behind it.
    """

    value: float
    draw_S: Array
    num_trials: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 % of the draws."""
        low, high = np.quantile(self.draw_S, [0.025, 0.975])
        return float(low), float(high)


def crossings(axis_N: Array, response_N: Array, levels: Sequence[float], unit: float = 1.0) -> list[Crossing] | None:
    """Crossings of ascending levels by a response that rises along the axis; None where one is not reached.

    Args:
        axis_N: positive values of the axis.
        response_N: what was measured there.
        levels: the levels.
        unit: in which the response is measured.
    """
    low, high = float(axis_N.min()) * (1 - 1e-6), float(axis_N.max()) * (1 + 1e-6)
    coordinates = Coordinates(SearchSpace({"axis": LogReal(low, high)}))
    unit_ND = coordinates.unit([{"axis": float(value)} for value in axis_N])
    band = ResponseBand("response", -unit, unit, unit, "below", "above")
    surrogate = fit_surrogate(coordinates, unit_ND, response_N, band)
    warped_K = surrogate.warp(np.asarray(levels, dtype=np.float64))

    def values(unit_K: Array) -> Array:
        return low * (high / low) ** unit_K

    fine_M = np.linspace(0, 1, _FINE)
    mean_M = surrogate.mean(fine_M[:, None])
    if mean_M[0] >= warped_K[0] or mean_M.max() <= warped_K[-1]:
        return None
    at_K = fine_M[np.array([int(np.argmax(mean_M >= level)) for level in warped_K])]
    near_M = np.linspace(max(0.0, at_K[0] - _MARGIN), min(1.0, at_K[-1] + _MARGIN), _COARSE)
    draw_SM = surrogate.draws(near_M[:, None], _DRAWS, np.random.default_rng(0))
    # the share of the stretch that lies below a level, which is where a rising draw crosses it
    share_KS = np.array([(draw_SM < level).mean(axis=1) for level in warped_K])
    drawn_KS = values(near_M[0] + share_KS * (near_M[-1] - near_M[0]))
    return [Crossing(float(value), draw_S, len(axis_N)) for value, draw_S in zip(values(at_K), drawn_KS, strict=True)]
