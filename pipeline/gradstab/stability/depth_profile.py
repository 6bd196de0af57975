"""The gradients of a network by depth, such that networks of any depth can be compared: relative, and at fractions.

Axes: P probe time, L hidden layers or taps, X fractions of the depth, from the first layer (0) to the last (1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradstab.study.responses.library.gradient_ratio import RATIO_LIMIT
from gradstab.study.responses.response import FloatArray

LEAST_DEPTH = 2  # one layer has no profile


def relative_gradients(log10_delta_norm_L: FloatArray) -> NDArray[np.float64]:
    """Decades above the last layer's gradient, within the range of R; what is not known counts as overflow, as in R.

    Any axes may stand before L.
    """
    with np.errstate(invalid="ignore"):  # infinity less infinity
        relative_L = log10_delta_norm_L - log10_delta_norm_L[..., -1:]
    relative_L = np.nan_to_num(relative_L, nan=RATIO_LIMIT, posinf=RATIO_LIMIT, neginf=-RATIO_LIMIT)
    return np.asarray(np.clip(relative_L, -RATIO_LIMIT, RATIO_LIMIT), dtype=np.float64)


def relative_over_training(log10_delta_norm_PL: FloatArray) -> NDArray[np.float64]:
    """The same at every probe time P; NaN where the last layer says nothing. Before training it counts as R does."""
    relative_PL = relative_gradients(log10_delta_norm_PL)
    relative_PL[1:][~np.isfinite(log10_delta_norm_PL[1:, -1])] = np.nan
    return relative_PL


def at_fractions(value_L: FloatArray, fraction_X: FloatArray) -> NDArray[np.float64]:
    """Values at fractions of the depth, linear between layers."""
    return np.asarray(np.interp(fraction_X, np.linspace(0, 1, len(value_L)), value_L))
