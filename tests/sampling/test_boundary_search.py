"""Which points are proposed: honest start-up, no duplicates, shared packs, and nothing that depends on when one looks."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from gradstab.errors import UsageError
from gradstab.regression.coordinates import Array, Coordinates
from gradstab.regression.fitting import fit_surrogate
from gradstab.regression.surrogate import Posterior
from gradstab.sampling.acquisition import acquisition, straddle
from gradstab.sampling.boundary_search import BoundarySearch
from gradstab.sampling.region_model import RegionModel, ToldTrials, identities
from gradstab.sampling.start_up import num_start_up, start_up_points
from gradstab.study.axes import AnyAxis, Choice, Integer, LogInteger, LogReal, Real
from gradstab.study.response_band import ResponseBand
from gradstab.study.space import SearchSpace
from tests import problems

BANDS = (problems.RATIO,)


def search_of(axes: dict[str, AnyAxis], bands: tuple[ResponseBand, ...] = BANDS, seed: int = 0) -> BoundarySearch:
    return BoundarySearch(RegionModel(SearchSpace.model_validate(axes), bands, seed), seed)


def measured(unit_ND: Array) -> ToldTrials:
    """R along the first axis: in band in the middle third."""
    noise_N = 0.05 * np.sin(1000 * unit_ND.sum(axis=1))
    return ToldTrials(tuple(range(len(unit_ND))), unit_ND, {"R": 6 * (unit_ND[:, 0] - 0.5) + noise_N})


def asked(search: BoundarySearch, told: ToldTrials, count: int, running: list[Array] | None = None) -> list[Array]:
    running = list(running or [])
    before = len(running)
    for _ in range(count):
        running.append(search.propose(told, np.reshape(running, (-1, told.unit_ND.shape[1]))))
    return running[before:]


def told_at_start(search: BoundarySearch, count: int) -> ToldTrials:
    return measured(search.model.coordinates.snapped(search.model.coordinates.sobol(8, 5)[:count]))


def nothing(search: BoundarySearch) -> ToldTrials:
    return measured(np.empty((0, search.model.coordinates.num_axes)))


def test_the_search_knows_how_large_the_planted_region_is_and_how_surely():
    search = search_of({"init_scale": LogReal(0.5, 20.0), "bias_scale": Real(0.0, 1.0)})
    told = told_at_start(search, 120)
    search.model.update(ToldTrials(told.numbers[:2], told.unit_ND[:2], {"R": told.responses["R"][:2]}))
    assert search.model.region_so_far() is None, "two trials make no model"
    search.model.update(told)
    found = search.model.region_so_far()
    assert found is not None
    assert found.num_trials == 120
    assert found.volume == pytest.approx(1 / 3, abs=0.02)
    assert found.misclassified < 0.03


MIXED: dict[str, AnyAxis] = {
    "init_scale": LogReal(0.5, 20.0),
    "depth": LogInteger(2, 50),
    "clip": Choice((False, True)),
    "clip_threshold": LogReal(0.01, 10.0),
}


def test_the_straddle_is_highest_where_an_edge_may_be():
    problem = problems.ridge()
    unit_ND = problem.coordinates.sobol(5, 0)
    response_N = problem.measure(unit_ND, np.random.default_rng(0))["R"]
    surrogate = fit_surrogate(problem.coordinates, unit_ND, response_N, problems.RATIO)
    posterior = surrogate.posterior(problem.coordinates.sobol(6, 1))
    expected = [
        max(1.96 * sd - abs(mean - float(surrogate.warp(edge))) for edge in (-1.0, 1.0))
        for mean, sd in zip(*posterior, strict=True)
    ]
    np.testing.assert_allclose(straddle(surrogate, posterior), expected)
    np.testing.assert_allclose(acquisition([surrogate], [posterior]), expected)  # without others nothing is weighed


def test_far_from_all_edges_too_a_point_counts_for_less_where_the_others_are_out_of_band():
    coordinates = Coordinates(SearchSpace.model_validate({"init_scale": LogReal(0.5, 4)}))
    unit_ND = coordinates.sobol(3, 0)
    ratio, trained = (
        fit_surrogate(coordinates, unit_ND, unit_ND[:, 0], band) for band in (problems.RATIO, problems.BELOW_ZERO)
    )
    sd_C = np.full(2, 0.01)
    in_band, edge = Posterior(np.zeros(2), sd_C), float(ratio.warp(1.0))
    trained_and_not = Posterior(np.array([-3.0, 3.0]), sd_C)
    found = acquisition([ratio, trained], [in_band, trained_and_not])
    assert found == pytest.approx([1.96 * 0.01 - edge, 1.96 * 0.01 - 3])


def test_an_edge_counts_only_where_the_other_responses_are_in_band():
    """R's edges are lines, T's a circle: in the chosen trials the lines are left outside the circle."""
    problem = problems.trained_disc().noisy(0.1)
    rng, model = np.random.default_rng(0), RegionModel(problem.space, problem.bands, 0)
    search = BoundarySearch(model, 0)
    unit_ND = np.array(asked(search, measured(np.empty((0, 2))), 16))
    for _ in range(6):
        told = ToldTrials(tuple(range(len(unit_ND))), unit_ND, problem.measure(unit_ND, rng))
        unit_ND = np.concatenate([unit_ND, asked(search, told, 8)])
    late = problem.median(unit_ND[-32:])
    near_line = np.abs(np.abs(late["R"]) - 1) < 0.3
    assert near_line.sum() > 5
    assert (late["T"][near_line] < 0.5).mean() > 0.9


@pytest.mark.parametrize("axes", [MIXED, {"activation": Choice(("a", "b", "c")), **MIXED}], ids=["two", "three"])
def test_start_up_tries_each_choice_eight_times_and_spreads_numbers(axes: dict[str, AnyAxis]):
    coordinates = Coordinates(SearchSpace.model_validate(axes))
    points = coordinates.points(start_up_points(coordinates, 3)[: num_start_up(coordinates)])
    for name, axis in axes.items():
        if isinstance(axis, Choice):
            counts = Counter(point[name] for point in points)
            assert set(counts) == set(axis.choices)
            assert min(counts.values()) >= 8
    scale_N = np.sort([math.log(float(point["init_scale"]) / 0.5) / math.log(40) for point in points])
    assert np.diff([0, *scale_N, 1]).max() < 0.25


@pytest.mark.parametrize("num_told", [0, 20, 60])
@pytest.mark.parametrize(
    "axes",
    [MIXED, {"init_scale": LogReal(0.5, 4), "depth": LogInteger(2, 50)}, {"depth": Integer(2, 200)}],
    ids=["mixed", "plane", "integers"],
)
def test_64_asked_without_a_telling_are_all_different(axes: dict[str, AnyAxis], num_told: int):
    search = search_of(axes)
    batch = np.array(asked(search, told_at_start(search, num_told), 64))
    assert len({tuple(point.items()) for point in search.model.coordinates.points(batch)}) == 64
    if num_told >= search.model.num_start_up:  # nor do two differ only in what has no effect
        assert len(set(identities(search.model.coordinates, batch))) == 64


def test_a_space_with_fewer_points_than_are_asked_for_repeats_them():
    search = search_of({"depth": Integer(2, 6)})
    for num_told in (0, 20):
        batch = np.array(asked(search, told_at_start(search, num_told), 12))
        assert len(np.unique(batch)) == 5


def test_running_trials_are_not_asked_for_again_nor_their_neighbourhood():
    search = search_of({"init_scale": LogReal(0.5, 4), "depth": LogInteger(2, 50)})
    told = told_at_start(search, 30)
    first = asked(search, told, 1)[0]
    for other in asked(search, told, 5, [first]):
        assert not np.array_equal(other, first)
    unaware = BoundarySearch(search.model, 0)
    assert np.array_equal(asked(unaware, told, 1)[0], first)


@pytest.mark.parametrize("steps", [[40], [17, 18, 30, 40], list(range(12, 41))])
def test_what_is_proposed_does_not_depend_on_how_often_one_looked(steps: list[int]):
    through, now = search_of(MIXED), search_of(MIXED)
    told = told_at_start(through, 40)
    running = list(told_at_start(through, 45).unit_ND[40:])
    for count in steps:
        part = measured(told.unit_ND[:count])
        asked(through, part, 3)
    np.testing.assert_array_equal(asked(through, told, 6, running), asked(now, told, 6, running))


def test_a_batch_shares_pack_keys_but_not_one_alone():
    axes: dict[str, AnyAxis] = {"init_scale": LogReal(0.5, 4), "width": LogInteger(16, 256), "depth": LogInteger(2, 50)}
    search = search_of(axes)
    batch = search.model.coordinates.points(np.array(asked(search, told_at_start(search, 40), 64)))
    counts = Counter(point["width"] for point in batch)
    assert 4 <= len(counts) <= 8
    assert counts.most_common(1)[0][1] < 48
    assert len({point["depth"] for point in batch}) > 8  # which decides no key


def test_every_number_that_decides_a_key_has_its_turn():
    axes: dict[str, AnyAxis] = {"init_scale": LogReal(0.5, 4), "width": LogInteger(16, 256)}
    search, unit_ND = search_of(axes), np.empty((0, 2))
    for _ in range(12):
        unit_ND = np.concatenate([unit_ND, asked(search, measured(unit_ND), 16)])
    assert len(np.unique(unit_ND[16:, 1])) > 20


def test_trials_are_spent_near_the_edges():
    search, unit_ND = search_of({"init_scale": LogReal(0.5, 4), "learning_rate": LogReal(1e-3, 1)}), np.empty((0, 2))
    for _ in range(10):
        unit_ND = np.concatenate([unit_ND, asked(search, measured(unit_ND), 8)])
    distance_N = np.abs(np.abs(6 * (unit_ND[40:, 0] - 0.5)) - 1)
    assert np.median(distance_N) < 0.25  # uniform trials: 1


def test_a_trial_that_comes_or_goes_in_the_middle_makes_the_model_anew():
    search = search_of(MIXED)
    told = told_at_start(search, 40)
    search.propose(told, np.empty((0, 4)))
    keep = [index for index in range(40) if index != 7]
    without = ToldTrials(tuple(keep), told.unit_ND[keep], {"R": told.responses["R"][keep]})
    anew = search_of(MIXED)
    np.testing.assert_array_equal(asked(search, without, 3), asked(anew, without, 3))
    few = measured(told.unit_ND[:3])
    assert not np.isnan(search.propose(few, np.empty((0, 4)))).any()
    assert not search.model.ready
    assert search.model.misclassified_volume == 0.5


def test_the_volume_is_that_of_what_was_told_and_falls_with_it():
    search = search_of({"init_scale": LogReal(0.5, 4), "learning_rate": LogReal(1e-3, 1)})
    volumes = []
    for count in (8, 32, 128):
        told = told_at_start(search, count)
        search.model.update(told)
        volumes.append(search.model.misclassified_volume)
        asked(search, told, 32)  # beliefs are no results
        assert search.model.misclassified_volume == volumes[-1]
    assert volumes[0] > 2 * volumes[2]
    unit_MD = search.model.coordinates.sobol(11, 9)
    p_M = search.model.estimator.probabilities(unit_MD).p_region
    assert volumes[2] == pytest.approx(float(np.minimum(p_M, 1 - p_M).mean()), rel=0.2)


def test_a_boundary_of_nothing_is_refused_in_words():
    with pytest.raises(UsageError, match="at least one response with a band"):
        search_of(MIXED, bands=())
