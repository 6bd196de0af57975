"""Curves of a level against circles and lines that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradstab.figures.contours import boundaries, contour
from gradstab.figures.panels import panel_plane
from gradstab.stability.estimator import fit_estimator
from gradstab.stability.phase_diagram import phase_diagram
from tests import problems

X = (np.arange(40) + 0.5) / 40
Y = (np.arange(30) + 0.5) / 30
FIELD_X, FIELD_Y = np.meshgrid(X, Y)


def test_a_circle_is_one_closed_curve():
    (curve,) = contour(X, Y, np.hypot(FIELD_X - 0.5, FIELD_Y - 0.4), 0.3)
    np.testing.assert_array_equal(curve[0], curve[-1])
    np.testing.assert_allclose(np.hypot(curve[:, 0] - 0.5, curve[:, 1] - 0.4), 0.3, atol=2e-3)
    length = np.linalg.norm(np.diff(curve, axis=0), axis=1).sum()
    assert length == pytest.approx(2 * np.pi * 0.3, rel=0.01)


def test_a_line_is_one_open_curve_from_end_to_end():
    (curve,) = contour(X, Y, FIELD_X + 2 * FIELD_Y, 1.5)
    np.testing.assert_allclose(curve @ [1, 2], 1.5)  # exact: the field is linear
    ends = sorted((float(curve[0][0]), float(curve[-1][0])))
    np.testing.assert_allclose(ends, [X[0], X[-1]], atol=1e-9)


def test_two_islands_are_two_curves_and_a_ring_too():
    field = np.minimum(np.hypot(FIELD_X - 0.25, FIELD_Y - 0.3), np.hypot(FIELD_X - 0.75, FIELD_Y - 0.7))
    assert len(contour(X, Y, field, 0.15)) == 2
    assert len(contour(X, Y, np.abs(np.hypot(FIELD_X - 0.5, FIELD_Y - 0.5) - 0.3), 0.1)) == 2


@pytest.mark.parametrize("level", [-1.0, 2.0])
def test_a_level_that_is_nowhere_passed_has_no_curve(level):
    assert contour(X, Y, FIELD_X, level) == ()
    assert contour(X, Y, np.zeros((30, 40)), level) == ()


def test_corners_that_touch_are_kept_apart():
    assert len(contour(X[:2], Y[:2], np.array([[1.0, 0.0], [0.0, 1.0]]), 0.5)) == 2
    assert len(contour(X[:2], Y[:2], np.array([[0.0, 1.0], [1.0, 0.0]]), 0.5)) == 2


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_on_any_field_each_edge_that_is_crossed_is_passed_once(seed):
    """Curves together have as many points as lattice edges are crossed; a closed one repeats its first."""
    field_YX = np.random.default_rng(seed).random((7, 6))
    inside_YX = field_YX >= 0.5
    crossed = (inside_YX[:, 1:] != inside_YX[:, :-1]).sum() + (inside_YX[1:] != inside_YX[:-1]).sum()
    curves = contour(X[:6], Y[:7], field_YX, 0.5)
    closed = sum(np.array_equal(curve[0], curve[-1]) for curve in curves)
    assert sum(map(len, curves)) - closed == crossed


def test_boundaries_of_a_diagram_lie_where_the_probabilities_say():
    problem = problems.ridge().noisy(0.1)
    unit_ND = problem.coordinates.sobol(8, 0)
    responses = problem.measure(unit_ND, np.random.default_rng(0))
    estimator = fit_estimator(problem.space, problem.coordinates.points(unit_ND), responses, problem.bands)
    cells = panel_plane(problem.coordinates, "init_scale", "learning_rate", {}, 60)
    found = {(one.kind, one.level): one for one in boundaries(phase_diagram(estimator, cells))}
    kinds = {kind for kind, _ in found}
    assert kinds == {"region", "vanishing", "exploding", "safe core"}
    for level in (0.05, 0.5, 0.95):
        points = np.concatenate(found["region", level].curves)
        p_region = estimator.probabilities(points).p_region
        assert np.median(np.abs(p_region - level)) < 0.05
    # the median's boundary is where the truth has it: R = -1 or +1
    truth = problem.median(np.concatenate(found["region", 0.5].curves))["R"]
    assert np.quantile(np.abs(np.abs(truth) - 1), 0.9) < 0.15
    # and the safe core lies within it
    core = np.concatenate(found["safe core", 0.95].curves)
    assert (estimator.probabilities(core).p_region > 0.9).all()
