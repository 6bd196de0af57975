"""Health: noise against that of replicates, forecasts against what came."""

from __future__ import annotations

import numpy as np
import pytest

from gradstab.regression.coordinates import Array
from gradstab.regression.fitting import fit_surrogate
from gradstab.regression.health import Health, check_health, pooled_noise
from tests import problems
from tests.problems import Problem


def health_of(problem: Problem, num_points: int, replicates: int, num_replicated: int | None = None) -> Health:
    """Health on Sobol points of which some, or all, are trained several times."""
    unit_ND = problem.coordinates.snapped(problem.coordinates.sobol(9, 0)[:num_points])
    unit_ND = np.concatenate([unit_ND, *[unit_ND[:num_replicated]] * (replicates - 1)])
    band = problem.bands[0]
    response_N = problem.measure(unit_ND, np.random.default_rng(0))[band.name]
    return check_health(fit_surrogate(problem.coordinates, unit_ND, response_N, band), unit_ND, response_N)


@pytest.mark.parametrize("noise", [0.1, 0.4])
@pytest.mark.parametrize("problem", [problems.half_plane(), problems.theory("tanh", 0.5, 4.0)], ids=lambda p: p.name)
def test_on_a_smooth_problem_both_noises_are_the_true_one(problem: Problem, noise: float):
    health = health_of(problem.noisy(noise), 80, 3)
    assert health.degrees_of_freedom == 160
    assert health.pooled_noise == pytest.approx(noise, rel=0.2)
    assert health.fitted_noise == pytest.approx(noise, rel=0.25)
    assert health.noise_agrees
    assert health.coverage == pytest.approx(0.9, abs=0.06)
    assert health.num_predicted == 240
    assert health.band_score > health.base_score + 0.2


def test_on_a_rough_problem_what_is_fitted_is_not_the_noise_between_seeds():
    health = health_of(problems.rough().noisy(0.2), 300, 3, num_replicated=20)
    assert health.degrees_of_freedom == 40
    assert health.pooled_noise is not None
    assert health.pooled_noise == pytest.approx(0.2, rel=0.3)
    assert health.fitted_noise > 2 * health.pooled_noise
    assert health.noise_agrees is False


def test_without_replicates_nothing_is_said_of_agreement():
    health = health_of(problems.half_plane().noisy(0.2), 60, 1)
    assert health.pooled_noise is None
    assert health.noise_agrees is None
    assert health.degrees_of_freedom == 0


def test_where_nothing_can_be_forecast_the_score_is_no_better_than_the_share():
    problem = problems.half_plane().noisy(50.0)  # noise is all there is
    health = health_of(problem, 100, 1)
    assert health.band_score < health.base_score + 0.05


def test_pooled_noise_equals_its_twin():
    problem = problems.ridge().noisy(0.3)
    unit_ND = problem.coordinates.sobol(5, 0)[[0, 0, 1, 2, 2, 2, 3]]
    response_N = problem.measure(unit_ND, np.random.default_rng(0))["R"]
    surrogate = fit_surrogate(problem.coordinates, unit_ND, response_N, problems.RATIO)
    warp = surrogate.warp

    def squares(rows: list[int]) -> float:
        warped: Array = warp(response_N[rows])
        slope = max(0.25, float(warp.slope(warp.inverse(warped.mean()))))
        return sum(((float(value) - float(warped.mean())) / slope) ** 2 for value in warped)

    found, freedom = pooled_noise(surrogate, unit_ND, response_N)
    assert freedom == 3
    assert found == pytest.approx(((squares([0, 1]) + squares([3, 4, 5])) / 3) ** 0.5)
