"""Cells of a whole space, and what is believed over them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import ndtr

from gradstab.regression.coordinates import Coordinates
from gradstab.regression.kernel import HyperParameters
from gradstab.regression.surrogate import Posterior
from gradstab.stability.estimator import beyond, fit_estimator
from gradstab.stability.phase_diagram import cloud, nearest_pairs, phase_diagram
from gradstab.study.axes import Choice, Integer, LogInteger, LogReal
from gradstab.study.response_band import ResponseBand
from gradstab.study.space import SearchSpace
from tests import problems

MIXED = Coordinates(
    SearchSpace.model_validate(
        {"init_scale": LogReal(0.5, 8.0), "depth": LogInteger(2, 50), "activation": Choice(("tanh", "relu", "sigmoid"))}
    )
)


def test_cells_are_of_equal_volume_and_any_power_of_two_of_them_is_a_cloud():
    cells = cloud(MIXED, 9)
    for log2_count in (5, 9):
        part_MD = cells.unit_MD[: 2**log2_count]
        counts = np.bincount((part_MD[:, 0] * 2**log2_count).astype(int), minlength=2**log2_count)
        assert set(counts) == {1}
    np.testing.assert_array_equal(cloud(MIXED, 5).unit_MD, cells.unit_MD[:32])
    assert not np.array_equal(cloud(MIXED, 5, seed=1).unit_MD, cells.unit_MD[:32])
    shares = np.bincount(cells.choice) / 512
    np.testing.assert_allclose(shares, 1 / 3, atol=0.02)


def test_neighbours_are_near_and_of_one_choice():
    cells = cloud(MIXED, 9)
    first_E, second_E = cells.neighbours.T
    assert (cells.choice[first_E] == cells.choice[second_E]).all()
    distance_E = np.linalg.norm(cells.numeric[first_E] - cells.numeric[second_E], axis=1)
    assert distance_E.min() > 0
    assert distance_E.max() < 5 * cells.resolution
    assert cells.resolution == pytest.approx((512 / 3) ** -0.5)
    assert set(first_E) == set(range(512))


@pytest.mark.parametrize(("count", "num_axes"), [(1, 2), (3, 2), (40, 1), (40, 3), (5, 0)])
def test_every_point_is_linked_to_its_nearest(count: int, num_axes: int):
    numeric_KD = np.random.default_rng(0).random((count, num_axes))
    linked = {(int(a), int(b)) for a, b in nearest_pairs(numeric_KD)}
    assert all(a != b for a, b in linked)
    if num_axes == 0:
        assert linked == {(index, index + 1) for index in range(count - 1)}
        return
    if num_axes == 1:  # those beside it, whichever side holds the nearest few
        in_order = sorted(range(count), key=lambda index: float(numeric_KD[index, 0]))
        assert linked == set(pairwise(in_order))
        return
    for index in range(count):
        others = sorted(
            (other for other in range(count) if other != index),
            key=lambda other: float(np.linalg.norm(numeric_KD[other] - numeric_KD[index])),
        )
        assert {(index, other) for other in others[: max(4, 4 * num_axes)]} <= linked


def test_a_diagram_says_what_the_estimator_says_and_its_volumes_are_means():
    problem = problems.trained_disc().noisy(0.2)
    unit_ND = problem.coordinates.sobol(6, 0)
    responses = problem.measure(unit_ND, np.random.default_rng(0))
    estimator = fit_estimator(problem.space, problem.coordinates.points(unit_ND), responses, problem.bands)
    diagram = phase_diagram(estimator, cloud(problem.coordinates, 8))
    p_M = estimator.probabilities(diagram.cells.unit_MD).p_region
    np.testing.assert_array_equal(diagram.p_region, p_M)
    assert diagram.num_trials == 64
    assert diagram.expected_volume == pytest.approx(sum(p_M) / 256)
    assert diagram.misclassified_volume == pytest.approx(sum(min(p, 1 - p) for p in p_M) / 256)
    # one new training is never surer to lie in band than noise allows, nor the median where a side holds it
    sides = diagram.probabilities.sides
    assert set(sides) == {"vanishing", "exploding", "untrained"}
    bound_M = 1 - np.max([sides[name] for name in sides], axis=0)
    assert (p_M <= bound_M + 1e-12).all()


def test_every_value_of_a_small_space_is_a_cell():
    coordinates = Coordinates(SearchSpace.model_validate({"depth": Integer(2, 6), "clip": Choice((False, True))}))
    points = coordinates.points(cloud(coordinates, 8).unit_MD)
    assert len({tuple(point.items()) for point in points}) == 10


def test_a_side_that_two_responses_have_is_reached_by_either():
    space = SearchSpace.model_validate({"init_scale": LogReal(0.5, 8.0)})
    points = [{"init_scale": 0.5 * 16**u} for u in np.linspace(0, 1, 9).tolist()]
    at_start, worst = np.linspace(-2, 2, 9), np.linspace(2, -2, 9)
    bands = [problems.RATIO, ResponseBand("R_worst", -1.0, 1.0, 1.0, "vanishing", "exploding")]
    found = fit_estimator(space, points, {"R": at_start, "R_worst": worst}, bands)
    apart = [found.only(name).at(points).p_exploding for name in ("R", "R_worst")]
    assert (np.abs(apart[0] - apart[1]) > 0.5).any()
    np.testing.assert_allclose(found.at(points).p_exploding, 1 - (1 - apart[0]) * (1 - apart[1]))


def test_one_new_training_scatters_around_the_median_as_unwarped_responses_do():
    """The median is known to be .888; with a spread of .05 it is 2.24 standard deviations inside the edge at 1."""
    points = [{"init_scale": 0.5 * 16**u} for u in np.linspace(0, 1, 9).tolist()]
    space = SearchSpace.model_validate({"init_scale": LogReal(0.5, 8.0)})
    (surrogate,) = fit_estimator(space, points, {"R": np.linspace(-2, 2, 9)}, [problems.RATIO]).surrogates
    surrogate = replace(surrogate, hyper=HyperParameters(surrogate.hyper.length_scale_D, 1.0, 0.05))
    known = Posterior(surrogate.warp([0.888]), np.zeros(1))
    below, above = beyond(surrogate, known, noisy=True)
    assert above[0] == pytest.approx(float(ndtr(-0.112 / 0.05)), rel=0.25)
    assert below[0] < 1e-12
    assert beyond(surrogate, known, noisy=False)[1][0] == 0
