"""The plane of a panel: where its cells lie, and what is held."""

from __future__ import annotations

import numpy as np

from gradstab.regression.coordinates import Coordinates
from gradstab.report.panels import panel_plane
from gradstab.study.space import Choice, LogInteger, LogReal, SearchSpace

MIXED = Coordinates(
    SearchSpace.model_validate(
        {"init_scale": LogReal(0.5, 8.0), "depth": LogInteger(2, 50), "activation": Choice(("tanh", "relu", "sigmoid"))}
    )
)


def test_a_plane_holds_the_other_axes_reaches_to_the_edges_and_is_laid_out_row_by_row():
    cells = panel_plane(MIXED, "depth", "init_scale", {"activation": "relu"}, 5)
    points = MIXED.points(cells.unit_MD)
    assert {point["activation"] for point in points} == {"relu"}
    depth_YX = cells.picture(np.array([float(point["depth"]) for point in points]))
    scale_YX = cells.picture(np.array([float(point["init_scale"]) for point in points]))
    assert depth_YX.shape == (5, 5)
    assert depth_YX[0, 0] == 2
    assert depth_YX[0, -1] == 50
    assert (np.diff(depth_YX, axis=1) > 0).all()
    assert (np.diff(depth_YX, axis=0) == 0).all()
    np.testing.assert_allclose(scale_YX[:, 2], [0.5, 1, 2, 4, 8])


def test_integers_are_looked_at_where_they_lie_and_each_once():
    cells = panel_plane(MIXED, "depth", "init_scale", {"activation": "relu"}, 64)
    depths = [point["depth"] for point in MIXED.points(cells.unit_MD[: len(cells.unit_X)])]
    assert depths == list(range(2, 51))
    np.testing.assert_array_equal(MIXED.snapped(cells.unit_MD)[:, MIXED.names.index("depth")][:49], cells.unit_X)
