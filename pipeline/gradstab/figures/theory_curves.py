"""What mean-field theory predicts in a plane or along a line, to be drawn over what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gradstab.figures.contours import contour
from gradstab.figures.layout import SCALES
from gradstab.regression.coordinates import Array
from gradstab.stability.estimator import Estimator
from gradstab.stability.phase_diagram import Plane
from gradstab.study.recipe import Recipe
from gradstab.study.space import Point
from gradstab.study.study import Study
from gradstab.theory.depth_scale_field import log_depth_left
from gradstab.theory.ratio_field import predicted_field
from gradstab.theory.relative_scale import resolved_recipe


@dataclass(frozen=True)
class TheoryCurves:
    """The predictions for one study.

    Attributes:
        ratio_band: R0, the edge of the band of R.
    """

    study: Study
    ratio_band: float
    _fields: dict[tuple[str, bytes], Array] = field(default_factory=dict, repr=False, compare=False)
    _known: dict[bytes, list[Recipe]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def label(self) -> str:
        """What a legend says of the edges of the band."""
        return f"theory: |R| = {self.ratio_band:g}"

    def band_edges(self, cells: Plane) -> tuple[Array, ...]:
        """Curves of the predicted R = -R0 and +R0, in unit coordinates."""
        ratio_YX = self._picture("ratio", cells)
        edges = (-self.ratio_band, self.ratio_band)
        return tuple(curve for edge in edges for curve in contour(cells.unit_X, cells.unit_Y, ratio_YX, edge))

    def trainable_depth(self, cells: Plane) -> tuple[Array, ...]:
        """Curves of the predicted trainable depth, in unit coordinates."""
        left_YX = self._picture("depth left", cells)
        return contour(cells.unit_X, cells.unit_Y, left_YX, 0.0)

    def in_band(self, points: Sequence[Point]) -> NDArray[np.bool_]:
        """Whether the predicted R lies in its band, at each point."""
        return np.asarray(np.abs(predicted_field(self._recipes(points))) < self.ratio_band)

    def trains(self, points: Sequence[Point]) -> NDArray[np.bool_]:
        """Whether the depth is below the predicted trainable depth, at each point."""
        return np.asarray(log_depth_left(self._recipes(points)) > 0)

    def _picture(self, name: Literal["ratio", "depth left"], cells: Plane) -> Array:
        """A predicted field over a plane, computed once: figures of different responses show the same planes."""
        plane = cells.unit_MD.tobytes()
        if (name, plane) not in self._fields:
            if plane not in self._known:
                self._known[plane] = self._recipes(cells.coordinates.points(cells.unit_MD))
            field_of = predicted_field if name == "ratio" else log_depth_left
            self._fields[name, plane] = field_of(self._known[plane])
        return cells.picture(self._fields[name, plane])

    def _recipes(self, points: Sequence[Point]) -> list[Recipe]:
        return [resolved_recipe(self.study, point) for point in points]


def judges_depth(estimator: Estimator) -> bool:
    """Whether T is judged over init scale and depth, so that theory has a trainable depth to draw."""
    axes = estimator.coordinates.space.axes
    deep = "depth" in axes and axes["depth"].is_whole
    return deep and any(name in axes for name in SCALES) and "T" in [band.name for band in estimator.bands]
