"""Planes of panels, and which trials and values belong to them."""

from __future__ import annotations

import numpy as np
import pytest

from gradstab.errors import UsageError
from gradstab.figures.layout import PanelLayout
from gradstab.figures.panels import panel_plane, trials_near
from gradstab.regression.coordinates import Coordinates
from gradstab.study.axes import Choice, Integer, LogReal
from gradstab.study.space import SearchSpace

MIXED = Coordinates(
    SearchSpace.model_validate(
        {"init_scale": LogReal(0.5, 8.0), "depth": Integer(2, 6), "activation": Choice(("relu", "tanh"))}
    )
)
CLIPPED = PanelLayout(
    x="init_scale",
    y="depth",
    choices=({"clip": False}, {"clip": True}),
    cut=("clip_threshold", (0.1, 1.0, 10.0)),
    held={"width": 64},
)


def test_a_plane_holds_the_other_axes_and_is_laid_out_row_by_row():
    cells = panel_plane(MIXED, "init_scale", "depth", {"activation": "relu"}, 7)
    points = MIXED.points(cells.unit_MD)
    assert {point["activation"] for point in points} == {"relu"}
    scales = cells.picture(np.array([float(point["init_scale"]) for point in points]))
    depths = cells.picture(np.array([float(point["depth"]) for point in points]))
    np.testing.assert_allclose(scales, np.tile(0.5 * 16 ** (np.arange(7) / 6), (5, 1)))
    np.testing.assert_array_equal(depths, np.tile([[2], [3], [4], [5], [6]], (1, 7)))


@pytest.mark.parametrize(
    ("held", "words"),
    [({"activation": "gelu"}, "must be one of 'relu', 'tanh', got 'gelu'"), ({"width": 3}, "no axis")],
)
def test_a_plane_through_no_point_of_the_space_is_one_sentence(held, words):
    with pytest.raises(UsageError, match=words):
        panel_plane(MIXED, "init_scale", "depth", held, 7)


def test_an_axis_without_effect_is_not_cut():
    values = CLIPPED.panel_values()
    assert [(held["clip"], held["clip_threshold"]) for held in values] == [
        (False, 0.1), (True, 0.1), (True, 1.0), (True, 10.0),
    ]  # fmt: skip
    assert [CLIPPED.title(held) for held in values] == [
        "clip off", "clip threshold 0.1, clip on", "clip threshold 1, clip on", "clip threshold 10, clip on",
    ]  # fmt: skip


def test_values_that_are_held_leave_the_panels_that_agree():
    assert [held["clip_threshold"] for held in CLIPPED.at({"clip": True}).panel_values()] == [0.1, 1.0, 10.0]
    (held,) = CLIPPED.at({"clip": True, "clip_threshold": 3.0, "width": 32}).panel_values()
    assert held == {"clip": True, "clip_threshold": 3.0, "width": 32}
    with pytest.raises(UsageError, match="clip must be one of False, True, got 'maybe'"):
        CLIPPED.at({"clip": "maybe"})


def test_every_trial_belongs_to_the_panel_of_its_choices_and_of_the_nearest_cut():
    layout = PanelLayout(
        "depth", "learning_rate", ({"activation": "relu"}, {"activation": "tanh"}), ("init_scale", (0.6, 2.0)), {}
    )
    points = [
        {"init_scale": scale, "depth": 3, "activation": name}
        for scale in (0.5, 0.7, 1.05, 1.15, 8.0)
        for name in ("relu", "tanh")
    ]
    found = {
        (held["activation"], held["init_scale"]): trials_near(MIXED, points, layout, held).tolist()
        for held in layout.panel_values()
    }
    # between 0.6 and 2.0 the middle in log is 1.095
    assert found == {
        ("relu", 0.6): [0, 2, 4], ("relu", 2.0): [6, 8], ("tanh", 0.6): [1, 3, 5], ("tanh", 2.0): [7, 9],
    }  # fmt: skip
