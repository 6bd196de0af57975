"""The surrogate against dense textbook formulas, against itself extended, and on data that say little."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime

from gradstab.errors import UsageError
from gradstab.regression.coordinates import Array, Coordinates
from gradstab.regression.factor import Factor, lower_factor
from gradstab.regression.fitting import MOST_ACTIVE, fit_surrogate, space_filling
from gradstab.regression.kernel import JITTER, HyperParameters, MarginalLikelihood
from gradstab.regression.surrogate import Surrogate
from gradstab.study.axes import Choice, LogInteger, LogReal
from gradstab.study.space import SearchSpace
from tests import problems
from tests import reference_regression as reference

MIXED = Coordinates(
    SearchSpace.model_validate(
        {
            "init_scale": LogReal(0.5, 20.0),
            "depth": LogInteger(2, 50),
            "activation": Choice(("tanh", "relu", "sigmoid")),
            "clip": Choice((False, True)),
            "clip_threshold": LogReal(0.01, 10.0),
            "clip_mode": Choice(("norm", "value")),
        }
    )
)


def fitted(num_trials: int = 30, seed: int = 0) -> Surrogate:
    """A surrogate over numbers, choices and axes that are not always in effect."""
    unit_ND = MIXED.snapped(MIXED.sobol(7, seed)[:num_trials])
    response_N = (
        3 * np.sin(5 * unit_ND[:, 0]) + 2 * unit_ND[:, 2] + np.random.default_rng(seed).normal(size=num_trials) / 5
    )
    return fit_surrogate(MIXED, unit_ND, response_N, problems.RATIO)


def elsewhere(count: int = 12) -> Array:
    return MIXED.snapped(MIXED.sobol(4, 99)[:count])


def test_posterior_equals_its_twin():
    surrogate = fitted()
    mean_M, covariance_MM = reference.posterior(surrogate, elsewhere())
    found = surrogate.posterior(elsewhere())
    np.testing.assert_allclose(found.mean, mean_M, atol=1e-8)
    np.testing.assert_allclose(found.sd, np.sqrt(np.diagonal(covariance_MM)), atol=1e-6)
    np.testing.assert_allclose(surrogate.mean(elsewhere()), mean_M, atol=1e-8)


def test_draws_have_the_posterior_s_mean_and_covariance():
    surrogate = fitted()
    mean_M, covariance_MM = reference.posterior(surrogate, elsewhere(5))
    draws_SM = surrogate.draws(elsewhere(5), 20_000, np.random.default_rng(0))
    scale = float(np.diagonal(covariance_MM).max())
    np.testing.assert_allclose(draws_SM.mean(axis=0), mean_M, atol=4 * math.sqrt(scale / 20_000))
    np.testing.assert_allclose(np.cov(draws_SM.T), covariance_MM, atol=0.06 * scale)


def test_marginal_likelihood_and_its_gradient_equal_their_twins():
    surrogate = fitted()
    features_NF = MIXED.features(surrogate.unit_AD)
    likelihood = MarginalLikelihood(
        features_NF, MIXED.axis_F, surrogate.target_A, surrogate.noise_weight_A, surrogate.spread
    )

    def value_alone(log_value: Array) -> float:
        return likelihood(log_value)[0]

    value = value_alone(surrogate.hyper.log())
    expected = reference.negative_log_likelihood(reference.trial_covariance(surrogate), surrogate.target_A)
    assert value == pytest.approx(expected, rel=1e-9)
    for seed in range(3):
        log_value = surrogate.hyper.log() + np.random.default_rng(seed).normal(size=MIXED.num_axes + 2) / 2
        gradient = likelihood(log_value)[1]
        error = np.linalg.norm(approx_fprime(log_value, value_alone) - gradient)
        assert error < 1e-4 * max(1.0, float(np.linalg.norm(gradient)))


def test_fitted_hyper_parameters_are_those_the_responses_were_drawn_with():
    """600 trials drawn from the model itself; noise within 10 %, length-scales within 40 %."""
    coordinates = problems.half_plane().coordinates
    rng = np.random.default_rng(3)
    unit_ND = coordinates.sobol(10, 0)[:600]
    truth = HyperParameters(np.array([0.25, 0.6]), 1.0, 0.1)
    scaled_ND = unit_ND / truth.length_scale_D
    r_NN = np.linalg.norm(scaled_ND[:, None] - scaled_ND[None], axis=2) * math.sqrt(5)
    covariance_NN = (1 + r_NN + r_NN**2 / 3) * np.exp(-r_NN) + JITTER * np.eye(600)
    response_N = lower_factor(covariance_NN) @ rng.standard_normal(600) + 0.1 * rng.standard_normal(600)
    found = fit_surrogate(coordinates, unit_ND, response_N, problems.BELOW_ZERO).hyper
    assert found.noise == pytest.approx(0.1, rel=0.1)
    np.testing.assert_allclose(found.length_scale_D, truth.length_scale_D, rtol=0.4)


def test_trials_told_later_give_what_all_at_once_give():
    surrogate, rng = fitted(40), np.random.default_rng(1)
    unit_KD, response_K = elsewhere(9), rng.normal(size=9)
    grown = surrogate.extended(unit_KD[:4], response_K[:4]).extended(unit_KD[4:], response_K[4:])
    mean_M, covariance_MM = reference.posterior(grown, MIXED.sobol(3, 5))
    found = grown.posterior(MIXED.sobol(3, 5))
    assert grown.num_trials == 49
    np.testing.assert_allclose(found.mean, mean_M, atol=1e-7)
    np.testing.assert_allclose(found.sd, np.sqrt(np.diagonal(covariance_MM)), atol=1e-5)


def test_pending_trials_shrink_variances_and_leave_means():
    surrogate = fitted()
    before, after = surrogate.posterior(elsewhere()), surrogate.extended(elsewhere(3)).posterior(elsewhere())
    np.testing.assert_allclose(after.mean, before.mean, atol=1e-9)
    assert (after.sd <= before.sd + 1e-9).all()
    assert (after.sd[:3] < 0.9 * before.sd[:3]).all()


def test_leave_one_out_equals_leaving_out():
    surrogate = fitted().extended(elsewhere(2), [0.3, -0.2])
    mean_A, sd_A = surrogate.leave_one_out()
    for index in (0, 7, 31):
        assert (mean_A[index], sd_A[index]) == pytest.approx(reference.left_out(surrogate, index), rel=1e-6)


def test_a_grown_factor_solves_as_the_whole_one_does():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(9, 9))
    matrix = root @ root.T + np.eye(9)
    lower, right = lower_factor(matrix.copy()), rng.normal(size=(9, 2))
    factor = Factor.of(lower[:5, :5]).grown(lower[5:7, :5], lower[5:7, 5:7]).grown(lower[7:, :7], lower[7:, 7:])
    np.testing.assert_allclose(lower @ factor.solve(right), right, atol=1e-12)
    np.testing.assert_allclose(lower.T @ factor.solve_transposed(right[:, 0]), right[:, 0], atol=1e-12)
    side, corner = factor.last_rows(2)
    np.testing.assert_array_equal(np.concatenate([side, corner], axis=1), lower[7:])


def test_of_many_trials_those_near_the_edge_are_active():
    problem = problems.half_plane().noisy(0.2)
    unit_ND = problem.coordinates.sobol(12, 0)
    response_N = problem.measure(unit_ND, np.random.default_rng(0))["T"]
    surrogate = fit_surrogate(problem.coordinates, unit_ND, response_N, problems.BELOW_ZERO)
    assert len(surrogate.target_A) == MOST_ACTIVE
    assert surrogate.num_trials == 4096
    distance_N, active_A = np.abs(problem.median(unit_ND)["T"]), np.abs(problem.median(surrogate.unit_AD)["T"])
    assert (active_A > np.quantile(distance_N, 0.5)).sum() < 300
    # picked by what is expected of them, not by what noise made of them: their noise is that of all
    noise_A = surrogate.warp.inverse(surrogate.target_A + surrogate.centre) - problem.median(surrogate.unit_AD)["T"]
    assert noise_A.std() == pytest.approx(0.2, rel=0.06)


def test_space_filling_points_are_each_the_farthest_from_those_before():
    features_NF = np.random.default_rng(0).random((60, 2))
    chosen = space_filling(features_NF, 10)
    for count in range(1, 10):
        distance_N = [min(math.dist(point, features_NF[index]) for index in chosen[:count]) for point in features_NF]
        assert distance_N[chosen[count]] == max(distance_N)
    assert list(space_filling(np.zeros((5, 2)), 3)) == [0]


@pytest.mark.parametrize("num_trials", [1, 2, 3, 8, 40])
@pytest.mark.parametrize("kind", ["constant", "vanishing", "clamped", "replicated", "enormous"])
def test_no_data_are_too_poor(num_trials: int, kind: str):
    """Finite everywhere, and as sure as the data allow."""
    unit_ND = MIXED.snapped(MIXED.sobol(6, 0)[:num_trials])
    first_N = unit_ND[:, 0] < 0.5
    response: dict[str, Any] = {
        "constant": np.zeros(num_trials),
        "vanishing": np.full(num_trials, -37.0),
        "clamped": np.where(first_N, -37.0, 37.0),
        "replicated": np.random.default_rng(0).normal(size=num_trials) / 5,
        "enormous": np.where(first_N, -9e99, 9e99),
    }
    if kind == "replicated":
        unit_ND = np.repeat(unit_ND[:1], num_trials, axis=0)
    surrogate = fit_surrogate(MIXED, unit_ND, response[kind], problems.RATIO)
    mean_M, sd_M = surrogate.posterior(elsewhere())
    assert np.isfinite(mean_M).all()
    assert np.isfinite(sd_M).all()
    assert (sd_M >= 0).all()
    if kind in {"constant", "vanishing"}:
        np.testing.assert_allclose(surrogate.warp.inverse(mean_M), response[kind][0], atol=0.1)
    if kind == "replicated":  # nothing is known of places where nothing was tried
        assert sd_M.max() > 1


def test_a_few_trials_that_agree_leave_the_rest_open():
    sd = []
    for num_trials in (1, 3, 30):
        unit_ND = MIXED.sobol(5, 0)[:num_trials]
        sd.append(fit_surrogate(MIXED, unit_ND, np.zeros(num_trials), problems.RATIO).posterior(elsewhere()).sd.max())
    assert sd[0] > 1.5
    assert sd[0] > sd[1] > sd[2]
    assert sd[2] < 0.2


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(-37, 37) | st.sampled_from([0.0, 1.0, -1.0, 37.0, -37.0]), min_size=1, max_size=12),
    st.integers(0, 3),
)
def test_any_finite_responses_give_a_finite_posterior(values, seed):
    unit_ND = MIXED.sobol(4, seed)[: len(values)]
    mean_M, sd_M = fit_surrogate(MIXED, unit_ND, values, problems.RATIO).posterior(elsewhere(6))
    assert np.isfinite(mean_M).all()
    assert np.isfinite(sd_M).all()


@given(st.sampled_from([math.nan, math.inf, -math.inf]), st.integers(0, 4))
def test_responses_that_are_not_finite_are_refused_in_words(wrong, row):
    response_N = np.zeros(5)
    response_N[row] = wrong
    with pytest.raises(UsageError, match=f"response R must be finite, got {wrong} at row {row}"):
        fit_surrogate(MIXED, MIXED.sobol(3, 0)[:5], response_N, problems.RATIO)


def test_no_trials_and_too_few_responses_are_refused():
    with pytest.raises(UsageError, match="at least one measured trial"):
        fit_surrogate(MIXED, np.empty((0, MIXED.num_axes)), [], problems.RATIO)
    with pytest.raises(UsageError, match=r"must be one response per trial, got shape \(2,\) for 4 trials"):
        fit_surrogate(MIXED, MIXED.sobol(2, 0), [1.0, 2.0], problems.RATIO)


def test_an_earlier_fit_is_gone_on_from():
    problem = problems.disc().noisy(0.1)
    unit_ND = problem.coordinates.sobol(6, 0)
    response_N = problem.measure(unit_ND, np.random.default_rng(0))["T"]
    first = fit_surrogate(problem.coordinates, unit_ND, response_N, problems.BELOW_ZERO)
    again = fit_surrogate(problem.coordinates, unit_ND, response_N, problems.BELOW_ZERO, start=first.hyper)
    np.testing.assert_allclose(again.hyper.log(), first.hyper.log(), atol=0.05)


def test_the_bend_of_the_warp_does_not_pull_the_median_of_scattered_responses_towards_zero():
    """Each noise is tried with both signs, so that all that is left of the mean error is what the bend makes."""
    coordinates = Coordinates(SearchSpace.model_validate({"init_scale": LogReal(0.5, 4)}))
    unit_ND = coordinates.sobol(4, 0)
    medians = []
    for seed in range(10):
        noise_N = 0.6 * np.random.default_rng(seed).standard_normal(16)
        for sign in (1, -1):
            surrogate = fit_surrogate(coordinates, unit_ND, 1.5 + sign * noise_N, problems.RATIO)
            medians.append(float(surrogate.warp.inverse(surrogate.mean(np.array([[0.5]])))[0]))
    assert np.mean(medians) == pytest.approx(1.5, abs=0.04)
