"""Compares two regions over the space that both studies searched: the difference of their volumes.

Axes: M cells, D axes of the space.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gradstab.errors import UsageError
from gradstab.regression.coordinates import Array, Coordinates
from gradstab.stability.estimator import Estimator
from gradstab.stability.phase_diagram import Cloud, PhaseDiagram, phase_diagram
from gradstab.stability.region import Volume, find_regions
from gradstab.study.axes import AnyAxis, Choice
from gradstab.study.space import SearchSpace

_LOG2_CELLS = 12


@dataclass(frozen=True)
class Comparison:
    """The comparison of two studies over the space that both searched. Volumes are fractions of it.

    Attributes:
        diagram: cells of the shared space with the probabilities of the first study.
        first, second: volume of each region, of the median over seeds.
        difference: second minus first, with a 90 % interval.
        both, only_first, only_second: fractions where p_region >= 1/2 in both, and in one alone.
    """

    diagram: PhaseDiagram
    first: Volume
    second: Volume
    difference: Volume
    both: float
    only_first: float
    only_second: float


def compare(first: Estimator, second: Estimator, names: tuple[str, str] = ("A", "B")) -> Comparison:
    """The comparison of two estimators of the same responses.

    Raises:
        UsageError: their responses differ, or their spaces do not share their axes.
    """
    judged = [tuple(band.name for band in estimator.bands) for estimator in (first, second)]
    if set(judged[0]) != set(judged[1]):
        told = " and ".join(f"{name} by {', '.join(bands)}" for name, bands in zip(names, judged, strict=True))
        raise UsageError(f"two studies can only be compared by the same responses, got {told}: choose with --criterion")
    coordinates = Coordinates(common_space(first.coordinates.space, second.coordinates.space, names))
    unit_MD = coordinates.sobol(_LOG2_CELLS, 0)
    found = []
    inside = []
    believed = []
    for estimator in (first, second):
        cells = Cloud(estimator.coordinates, within(coordinates, estimator.coordinates, unit_MD))
        diagram = phase_diagram(estimator, cells)
        found.append(find_regions(estimator, diagram).volume)
        inside.append(diagram.p_region >= 0.5)
        believed.append(diagram.probabilities)
    return Comparison(
        diagram=PhaseDiagram(Cloud(coordinates, unit_MD), believed[0], first.num_trials),
        first=found[0],
        second=found[1],
        difference=volume_difference(*found),
        both=float((inside[0] & inside[1]).mean()),
        only_first=float((inside[0] & ~inside[1]).mean()),
        only_second=float((inside[1] & ~inside[0]).mean()),
    )


def volume_difference(first: Volume, second: Volume) -> Volume:
    """Second minus first, for volumes that were measured independently.

    Source: Zou & Donner 2008, construction of confidence limits about effect measures (MOVER).
    """
    estimate = second.estimate - first.estimate
    below = math.hypot(second.estimate - second.low, first.high - first.estimate)
    above = math.hypot(second.high - second.estimate, first.estimate - first.low)
    return Volume(estimate, estimate - below, estimate + above)


def common_space(first: SearchSpace, second: SearchSpace, names: tuple[str, str]) -> SearchSpace:
    """The space that both studies searched.

    Raises:
        UsageError: an axis belongs to one study only, has different types, or its ranges do not overlap.
    """
    alone = [
        f"{name} alone has {', '.join(extra)}"
        for name, here, there in ((names[0], first, second), (names[1], second, first))
        if (extra := [axis for axis in here.names() if axis not in there.names()])
    ]
    if alone:
        raise UsageError(
            f"the studies {names[0]} and {names[1]} cannot be compared, because their axes differ: {'; '.join(alone)}"
        )
    return SearchSpace.model_validate({name: _common(name, axis, second.axes[name]) for name, axis in first.items()})


def within(inner: Coordinates, outer: Coordinates, unit_MD: Array) -> Array:
    """Unit coordinates of one space in those of another that holds it; not snapped."""
    mapped_MD = np.empty_like(unit_MD)
    for column, (name, axis) in enumerate(inner.space.items()):
        target = outer.space.axes[name]
        there = outer.names.index(name)
        if isinstance(axis, Choice) and isinstance(target, Choice):
            indices = [index for choice in axis.choices if (index := target.index(choice)) is not None]
            place = [(index + 0.5) / len(target.choices) for index in indices]
            index_M = np.minimum((unit_MD[:, column] * len(place)).astype(int), len(place) - 1)
            mapped_MD[:, there] = np.array(place)[index_M]
        else:
            assert not isinstance(axis, Choice)
            assert not isinstance(target, Choice)
            (low, high), (least, most) = axis.ends(), target.ends()
            mapped_MD[:, there] = (low + unit_MD[:, column] * (high - low) - least) / (most - least)
    return np.clip(mapped_MD, 0, 1)


def _common(name: str, first: AnyAxis, second: AnyAxis) -> AnyAxis:
    if type(first) is not type(second):
        raise UsageError(f"{name} must be an axis of one type in both studies, got {first.type} and {second.type}")
    if isinstance(first, Choice) and isinstance(second, Choice):
        shared = tuple(choice for choice in first.choices if second.contains(choice))
        if not shared:
            raise UsageError(f"the studies must share a value of {name}, got {first.choices} and {second.choices}")
        return Choice(shared)
    assert not isinstance(first, Choice)
    assert not isinstance(second, Choice)
    low, high = max(first.low, second.low), min(first.high, second.high)
    if not low < high:
        raise UsageError(
            f"the studies must overlap in {name}, got {first.low:g} to {first.high:g} and {second.low:g} to "
            f"{second.high:g}"
        )
    return type(first)(low, high)  # type: ignore[arg-type]
