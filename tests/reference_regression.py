"""Slow, obvious twins of the surrogate: textbook formulas, one pair of points at a time, dense inverses."""

from __future__ import annotations

import math

import numpy as np

from gradstab.regression.coordinates import Array, Coordinates
from gradstab.regression.kernel import JITTER, HyperParameters
from gradstab.regression.surrogate import Surrogate
from gradstab.study.axes import Choice
from gradstab.study.recipe import conditions


def covariance(coordinates: Coordinates, hyper: HyperParameters, first_D: Array, second_D: Array) -> float:
    """Matern-5/2 of two points: (axis difference / length-scale)^2 summed, 1 for choices that differ."""
    first, second = coordinates.points(np.array([first_D, second_D]))
    squared = 0.0
    for column, (name, axis) in enumerate(coordinates.space.items()):
        parent, values = conditions().get(name, ("", ()))
        off = [parent in point and point[parent] not in values for point in (first, second)]
        if isinstance(axis, Choice):
            # one-hot against nothing at all is half of the Hamming distance
            squared_difference = 0.5 if off[0] != off[1] else float(first[name] != second[name] and not any(off))
            difference = math.sqrt(squared_difference)
        else:
            ends = [
                0.5 if is_off else float(point_D[column])
                for is_off, point_D in zip(off, (first_D, second_D), strict=True)
            ]
            difference = ends[0] - ends[1]
        squared += (difference / hyper.length_scale_D[column]) ** 2
    r = math.sqrt(squared)
    return hyper.signal**2 * (1 + math.sqrt(5) * r + 5 / 3 * r * r) * math.exp(-math.sqrt(5) * r)


def covariances(surrogate: Surrogate, unit_ND: Array, unit_MD: Array) -> Array:
    """Prior covariance with the unknown constant in it."""
    entries = [
        [covariance(surrogate.coordinates, surrogate.hyper, a_D, b_D) + surrogate.spread**2 for b_D in unit_MD]
        for a_D in unit_ND
    ]
    return np.array(entries)


def trial_covariance(surrogate: Surrogate) -> Array:
    """That of the trials, with noise."""
    noise_N = (surrogate.hyper.noise * surrogate.noise_weight_A) ** 2 + JITTER * surrogate.hyper.signal**2
    return covariances(surrogate, surrogate.unit_AD, surrogate.unit_AD) + np.diag(noise_N)


def posterior(surrogate: Surrogate, unit_MD: Array) -> tuple[Array, Array]:
    """Mean and full covariance by an explicit inverse."""
    inverse_NN = np.linalg.inv(trial_covariance(surrogate))
    cross_MN = covariances(surrogate, unit_MD, surrogate.unit_AD)
    mean_M = surrogate.centre + cross_MN @ inverse_NN @ surrogate.target_A
    return mean_M, covariances(surrogate, unit_MD, unit_MD) - cross_MN @ inverse_NN @ cross_MN.T


def negative_log_likelihood(covariance_NN: Array, target_N: Array) -> float:
    """-log N(target; 0, covariance)."""
    _, log_determinant = np.linalg.slogdet(2 * math.pi * covariance_NN)
    return 0.5 * float(target_N @ np.linalg.inv(covariance_NN) @ target_N) + 0.5 * float(log_determinant)


def left_out(surrogate: Surrogate, index: int) -> tuple[float, float]:
    """Mean and standard deviation that the other trials predict of one, noise in."""
    covariance_NN = trial_covariance(surrogate)
    rest = [other for other in range(len(covariance_NN)) if other != index]
    inverse = np.linalg.inv(covariance_NN[np.ix_(rest, rest)])
    cross = covariance_NN[index, rest]
    mean = surrogate.centre + cross @ inverse @ surrogate.target_A[rest]
    return float(mean), math.sqrt(float(covariance_NN[index, index] - cross @ inverse @ cross))
