"""How much a trial at a candidate would say about the boundary: the straddle score at every edge of a band.

Axes: C candidates, R responses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradstab.regression.coordinates import Array
from gradstab.regression.surrogate import Posterior, Surrogate
from gradstab.stability.estimator import beyond

_WIDTH = 1.96  # standard deviations
_LEAST_OTHERS = 1e-3


def inside_probability(surrogate: Surrogate, posterior: Posterior) -> Array:
    """Probability that the median of one response lies in its band, shape (C,)."""
    below_C, above_C = beyond(surrogate, posterior, noisy=False)
    return np.maximum(0, 1 - below_C - above_C)


def straddle(surrogate: Surrogate, posterior: Posterior) -> Array:
    """1.96 sd - |mean - nearest edge|: high where a boundary may lie and little is known; in warped units, shape (C,).

    Source: Bryan et al. 2005, Active learning for identifying function threshold boundaries; here with two levels.
    """
    distance_C = np.min([np.abs(posterior.mean - float(surrogate.warp(edge))) for edge in surrogate.band.edges], axis=0)
    return np.asarray(_WIDTH * posterior.sd - distance_C)


def acquisition(surrogates: Sequence[Surrogate], posteriors: Sequence[Posterior]) -> Array:
    """The best straddle of any response, shape (C,), each times the probability that the others lie in band.

    An edge of one response bounds the region only where the other responses are in band. A negative straddle is
    divided by that probability, so that it also becomes worse there.
    """
    inside_RC = np.stack([inside_probability(*pair) for pair in zip(surrogates, posteriors, strict=True)])
    best_C = np.full(inside_RC.shape[1], -np.inf)
    for index, (surrogate, posterior) in enumerate(zip(surrogates, posteriors, strict=True)):
        others_C = np.maximum(np.prod(np.delete(inside_RC, index, axis=0), axis=0), _LEAST_OTHERS)
        straddle_C = straddle(surrogate, posterior)
        best_C = np.maximum(best_C, np.where(straddle_C > 0, straddle_C * others_C, straddle_C / others_C))
    return best_C
