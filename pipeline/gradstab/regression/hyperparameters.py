"""Hyper-parameters of a surrogate: the most probable under the marginal likelihood and a prior.

Axes: N trials, F features, D axes of the space.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from gradstab.regression.kernel import Array, HyperParameters, MarginalLikelihood

MOST_TRIALS = 500  # most trials in a fit: one step costs their cube
_START_TRIALS = 150  # trials on which the starting points are compared
_LENGTH_PRIOR = (0.5, 1.0)  # median over sqrt(D), and standard deviation of the logarithm
_CHOICE_PRIOR = (1.0, 1.0)
_SIGNAL_PRIOR_SD = 1.0
_NOISE_PRIOR = (0.1, 1.5)
_LENGTH_BOUNDS = (0.02, 30.0)
_SIGNAL_BOUNDS = (0.3, 30.0)  # times the spread of the responses
_NOISE_BOUNDS = (1e-3, 10.0)
_STARTS = ((0.3, 0.1), (1.0, 0.03), (1.0, 0.5))  # length-scale relative to its median, and noise
_STEPS = 60
_TOLERANCE = 1e-6  # relative to a few hundred nats: the rest moves no hyper-parameter by a thousandth of its sd


def fit(
    features_NF: Array,
    axis_F: NDArray[np.int64],
    choice_D: NDArray[np.bool_],
    target_N: Array,
    noise_weight_N: Array,
    spread: float,
    start: HyperParameters | None = None,
) -> HyperParameters:
    """The most probable hyper-parameters of at most MOST_TRIALS trials.

    Several starting points are tried on the first _START_TRIALS trials; the best one is refined on all trials.

    Args:
        features_NF: features of the trials, the most important trials first.
        axis_F: axis of each feature.
        choice_D: whether an axis is a choice.
        target_N: warped responses minus their centre.
        noise_weight_N: slope of the warp at each response.
        spread: scale of the warped responses: median of the signal's prior, and spread of the unknown mean.
        start: an earlier fit; if given, only it is refined.
    """
    prior = _Prior(choice_D, spread)

    def refine(count: int, start_log: Array) -> tuple[float, Array]:
        likelihood = MarginalLikelihood(
            features_NF[:count], axis_F, target_N[:count], noise_weight_N[:count], mean_spread=spread
        )
        found = minimize(
            _posterior(likelihood, prior),
            start_log,
            jac=True,
            method="L-BFGS-B",
            bounds=prior.bounds,
            options={"maxiter": _STEPS, "ftol": _TOLERANCE},
        )
        return float(found.fun), np.asarray(found.x, dtype=np.float64)

    if start is not None:
        best = prior.clipped(start.log())
    else:
        first = min(len(target_N), _START_TRIALS)
        best = min((refine(first, log) for log in prior.starts()), key=lambda pair: pair[0])[1]
        if first == len(target_N):
            return HyperParameters.from_log(best)
    return HyperParameters.from_log(refine(min(len(target_N), MOST_TRIALS), best)[1])


class _Prior:
    """Independent normal distributions of the logarithms, with bounds."""

    def __init__(self, choice_D: NDArray[np.bool_], spread: float) -> None:
        num_axes = len(choice_D)
        # distances grow with the square root of the number of axes, so equivalent length-scales do too
        length = np.where(choice_D, _CHOICE_PRIOR[0], _LENGTH_PRIOR[0] * math.sqrt(max(1, num_axes)))
        length_sd = np.where(choice_D, _CHOICE_PRIOR[1], _LENGTH_PRIOR[1])
        self.mean = np.log([*length, spread, _NOISE_PRIOR[0]])
        self.sd = np.array([*length_sd, _SIGNAL_PRIOR_SD, _NOISE_PRIOR[1]])
        signal_bounds = (_SIGNAL_BOUNDS[0] * spread, _SIGNAL_BOUNDS[1] * spread)
        self.bounds = [
            (math.log(low), math.log(high))
            for low, high in [*[_LENGTH_BOUNDS] * num_axes, signal_bounds, _NOISE_BOUNDS]
        ]

    def starts(self) -> list[Array]:
        starts = []
        for relative_length, noise in _STARTS:
            log_value = self.mean.copy()
            log_value[:-2] += math.log(relative_length)
            log_value[-1] = math.log(noise)
            starts.append(self.clipped(log_value))
        return starts

    def clipped(self, log_value: Array) -> Array:
        low, high = np.array(self.bounds).T
        return np.asarray(np.clip(log_value, low, high))

    def __call__(self, log_value: Array) -> tuple[float, Array]:
        """-log density up to a constant, and its gradient."""
        z = (log_value - self.mean) / self.sd
        return 0.5 * float(z @ z), z / self.sd


def _posterior(likelihood: MarginalLikelihood, prior: _Prior) -> Callable[[Array], tuple[float, Array]]:
    def objective(log_value: Array) -> tuple[float, Array]:
        value, gradient = likelihood(log_value)
        prior_value, prior_gradient = prior(log_value)
        return value + prior_value, gradient + prior_gradient

    return objective
