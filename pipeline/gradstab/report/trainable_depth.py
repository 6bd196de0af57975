"""How deep networks train, in depth scales xi_c of mean-field theory, which predicts about six."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradstab.figures.layout import SCALES, PanelLayout
from gradstab.figures.theory_curves import judges_depth
from gradstab.regression.coordinates import Array, Coordinates
from gradstab.results.results import Results
from gradstab.study.axes import Integer, LogInteger
from gradstab.theory.depth_scale_field import trainable_depths
from gradstab.theory.forecast import TRAINABLE_DEPTH_SCALES
from gradstab.theory.relative_scale import resolved_recipe

_SCALES, _DEPTHS = 24, 129


@dataclass(frozen=True)
class DepthScales:
    """The depth at which T leaves its band, over xi_c, along lines of one init scale each.

    Attributes:
        num_lines: lines on which both lie within the search.
    """

    median: float
    least: float
    most: float
    num_lines: int


def depth_scales(results: Results, layout: PanelLayout) -> DepthScales | None:
    """How many depth scales deep the median network trains; None where T or an axis is missing, or no line compares."""
    coordinates = results.every_estimator.coordinates
    if "T" not in results.measured.responses or not judges_depth(results.every_estimator):
        return None
    (surrogate,) = results.every_estimator.only("T").surrogates
    column, axis = coordinates.names.index("depth"), coordinates.space.axes["depth"]
    assert isinstance(axis, Integer | LogInteger)
    start_ND = np.array(list(_starts(coordinates, layout)))
    unit_T = np.linspace(0, 1, _DEPTHS)
    line_MD = np.repeat(start_ND, _DEPTHS, axis=0)
    line_MD[:, column] = np.tile(unit_T, len(start_ND))
    # the band of T has one end, so that its mean says where p_region >= 1/2, without the dear standard deviations
    median_M = surrogate.warp.inverse(surrogate.mean(coordinates.snapped(line_MD)))
    trains_NT = surrogate.band.contains(median_M).reshape(len(start_ND), _DEPTHS)
    theory_N = trainable_depths([resolved_recipe(results.study, point) for point in coordinates.points(start_ND)])
    found = []
    for trains_T, theory in zip(trains_NT, theory_N.tolist(), strict=True):
        ends = np.flatnonzero(trains_T[:-1] & ~trains_T[1:])
        if len(ends) and axis.low <= theory <= axis.high:  # at criticality theory has no end
            found.append(TRAINABLE_DEPTH_SCALES * axis.from_unit(float(unit_T[ends[0]])) / theory)
    return DepthScales(float(np.median(found)), min(found), max(found), len(found)) if found else None


def _starts(coordinates: Coordinates, layout: PanelLayout) -> Iterator[Array]:
    """Where lines along depth begin: each combination of choices, at init scales spread over the search."""
    scale = next(name for name in SCALES if name in coordinates.names)
    numeric = not coordinates.space.axes[scale].is_choice
    for choice in layout.choices:
        start_D = coordinates.with_axis(np.full(coordinates.num_axes, 0.5), {**layout.held, **choice})
        for unit in (np.arange(_SCALES) + 0.5) / _SCALES if numeric else (start_D[coordinates.names.index(scale)],):
            start_D[coordinates.names.index(scale)] = unit
            yield coordinates.snapped(start_D[None])[0]
