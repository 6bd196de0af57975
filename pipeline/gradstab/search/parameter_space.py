"""The parameters of an Optuna study as a search space of ours: values to unit coordinates and back.

Choices and steps are numbered, so that every value that Optuna takes has a place. No parameter has a meaning by its
name: `depth` of a user's study is a number like any other.
Axes: N points, D axes of the space.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from gradstab.errors import UsageError
from gradstab.regression.coordinates import Array, Coordinates
from gradstab.study.axes import AnyAxis, Choice, Integer, LogInteger, LogReal, Real, Value
from gradstab.study.space import SearchSpace

_PREFIX = "params."  # keeps a parameter apart from the field of a recipe that has its name
_WHOLE = 1e-8  # how far a value may lie from its step, as in Optuna


class ParameterSpace:
    """The two-way map for parameters with these distributions, all of them `modelled`.

    Attributes:
        distributions: by parameter, in the order of the axes.
        coordinates: of the search space, in which parameter `x` is the axis `params.x`.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self.distributions = dict(distributions)
        axes = {_PREFIX + name: _axis(distribution) for name, distribution in distributions.items()}
        self.coordinates = Coordinates(SearchSpace.model_validate(axes))

    def unit(self, params: Mapping[str, Any]) -> Array | None:
        """Snapped unit coordinates of a point, shape (D,); None where it lacks a parameter or lies outside."""
        try:
            point = {
                _PREFIX + name: _to_axis(distribution, params[name])
                for name, distribution in self.distributions.items()
            }
            return np.asarray(self.coordinates.unit([point])[0])
        except (KeyError, TypeError, ValueError, UsageError):
            return None

    def params(self, unit_D: Array) -> dict[str, Any]:
        """The values that unit coordinates stand for, in Python's own types."""
        (point,) = self.coordinates.points(unit_D[None])
        return {
            name: _from_axis(distribution, point[_PREFIX + name]) for name, distribution in self.distributions.items()
        }


def modelled(distribution: BaseDistribution) -> bool:
    """Whether a parameter can be an axis: it has several values, and its range fits into floating-point numbers."""
    if distribution.single() or not isinstance(
        distribution, CategoricalDistribution | IntDistribution | FloatDistribution
    ):
        return False
    axis = _axis(distribution)
    width = (
        axis.high / axis.low if isinstance(axis, LogReal) else 1.0 if isinstance(axis, Choice) else axis.high - axis.low
    )
    return axis.fault() is None and math.isfinite(width)


def _axis(distribution: BaseDistribution) -> AnyAxis:
    if isinstance(distribution, CategoricalDistribution):
        return Choice(tuple(range(len(distribution.choices))))
    if isinstance(distribution, IntDistribution):
        if distribution.log:
            return LogInteger(distribution.low, distribution.high)
        return Integer(0, (distribution.high - distribution.low) // distribution.step)
    assert isinstance(distribution, FloatDistribution)  # the only other kind that is modelled
    if distribution.step is not None:
        return Integer(0, round((distribution.high - distribution.low) / distribution.step))
    return (LogReal if distribution.log else Real)(distribution.low, distribution.high)


def _to_axis(distribution: BaseDistribution, value: Any) -> Value:
    """The value on the axis that stands for a parameter's value.

    Raises:
        ValueError: the value is none of the distribution's.
    """
    if isinstance(distribution, CategoricalDistribution):
        return int(distribution.to_internal_repr(value))
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    step = _step(distribution)
    if step is None:
        return int(value) if isinstance(distribution, IntDistribution) else float(value)
    number = float((value - distribution.low) / step)
    if abs(number - round(number)) > _WHOLE:
        raise ValueError(f"{value} lies between two steps")
    return round(number)


def _from_axis(distribution: BaseDistribution, value: Value) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(value)]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    step = _step(distribution)
    return value if step is None else min(distribution.high, distribution.low + int(value) * step)


def _step(distribution: FloatDistribution | IntDistribution) -> float | None:
    """The distance of values that are numbered; None where the axis holds the values themselves."""
    return None if distribution.log else distribution.step
