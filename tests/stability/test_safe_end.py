"""The largest safe value against planted regions: its place, its interval, gaps, cliffs, and how it moves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr

from gradstab.regression.coordinates import Array
from gradstab.stability.clip_effect import Saved, saved_by_region, saved_in_pairs
from gradstab.stability.estimator import Estimator, fit_estimator
from gradstab.stability.safe_end import DrawnLines, SafeEnd, safe_end
from gradstab.stability.safe_end_moves import moves
from gradstab.study.axes import AnyAxis, Choice, LogInteger, LogReal, Real, Value
from gradstab.study.space import SearchSpace
from tests.problems import BELOW_ZERO, Problem, half_plane, two_islands

HELD = {"init_scale": 1.4}
AXIS = "learning_rate"


def estimated(problem: Problem, trials: int, seed: int = 0) -> Estimator:
    unit_ND = problem.coordinates.sobol(8, seed)[:trials]
    measured = problem.measure(unit_ND, np.random.default_rng(seed))
    return fit_estimator(problem.space, problem.coordinates.points(unit_ND), measured, problem.bands)


def true_end(problem: Problem) -> float:
    """Where 95 % of trainings still succeed along the axis, in unit coordinates, for a region below a threshold."""
    step_T = np.linspace(0, 1, 10_001)
    unit_TD = np.repeat(problem.coordinates.unit([{**HELD, AXIS: 0.1}]), len(step_T), axis=0)
    unit_TD[:, problem.coordinates.names.index(AXIS)] = step_T
    p_T = ndtr(-problem.median(unit_TD)["T"] / max(problem.noise, 1e-9))
    return float(step_T[np.argmin(p_T > 0.95)])


def unit_interval(problem: Problem, end: SafeEnd) -> tuple[float, float]:
    axis = problem.space.axes[AXIS]
    assert not isinstance(axis, Choice)
    low = -math.inf if end.low is None else axis.to_unit(end.low)
    high = math.inf if end.high is None else axis.to_unit(end.high)
    return low, high


def test_intervals_hold_the_planted_end_and_are_narrow():
    problem = half_plane().noisy(0.3)
    truth = true_end(problem)
    found = [unit_interval(problem, safe_end(estimated(problem, 80, seed), AXIS, HELD)) for seed in range(12)]
    assert sum(low <= truth <= high for low, high in found) >= 9  # nine in ten are expected
    assert float(np.median([high - low for low, high in found])) < 0.12
    assert all(high - low > 0 for low, high in found)


def test_the_interval_of_a_cliff_spans_the_gap_between_two_trials():
    """The response jumps between two trials and is flat on both sides: only the gap tells where."""
    space = SearchSpace.model_validate({AXIS: LogReal(0.01, 1.0)})
    held = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        edge = rng.uniform(0.3, 0.7)
        unit_N = (np.arange(40) + rng.uniform(size=40)) / 40
        points = [space.point_from_unit({AXIS: float(u)}) for u in unit_N]
        estimator = fit_estimator(space, points, {"T": np.where(unit_N < edge, -10.0, 7.0)}, [BELOW_ZERO])
        low, high = (float(np.log10(float(end or 0) / 0.01) / 2) for end in _ends_of(estimator))
        held += low <= edge <= high
        assert high - low < 0.2
    assert held >= 9  # nine in ten are expected


def _ends_of(estimator: Estimator) -> tuple[Value | None, Value | None]:
    end = safe_end(estimator, AXIS, {})
    return end.low, end.high


def test_the_stretch_that_holds_the_most_probable_value_ends_at_the_gap_and_the_gap_is_said():
    """Both islands are crossed at learning rate 0.48: init scales .05 to .45 and .5 to .94 of the range, less a bit."""
    problem = two_islands()
    estimator = estimated(problem, 200)
    end = safe_end(estimator, "init_scale", {AXIS: problem.coordinates.axis_value(AXIS, 0.47)})
    assert len(end.others) == 1
    (other,) = end.others
    assert end.value is not None
    assert end.low_value is not None
    assert float(end.low_value) <= float(end.best) <= float(end.value)
    assert float(other.low) > float(end.value) or float(other.high) < float(end.low_value)


def test_an_end_beyond_the_search_is_open_and_nothing_safe_is_nothing():
    space = SearchSpace.model_validate({AXIS: LogReal(0.01, 1.0)})
    points = [{AXIS: float(rate)} for rate in np.geomspace(0.01, 1.0, 20)]
    everywhere = safe_end(fit_estimator(space, points, {"T": [-5.0] * 20}, [BELOW_ZERO]), AXIS, {})
    assert (everywhere.value, everywhere.high_open, everywhere.high) == (1.0, True, None)
    nowhere = safe_end(fit_estimator(space, points, {"T": [5.0] * 20}, [BELOW_ZERO]), AXIS, {})
    assert (nowhere.value, nowhere.low, nowhere.low_value) == (None, None, None)
    assert nowhere.p_best < 0.5


def test_more_trials_narrow_the_interval_as_was_told():
    problem = half_plane().noisy(0.5)
    place = [HELD]
    few, many = (DrawnLines(estimated(problem, trials), AXIS, place) for trials in (60, 240))
    width = {name: np.subtract(*lines.ends(times=times).interval(0)[::-1]) for name, lines, times in (
        ("few", few, 1), ("told", few, 4), ("many", many, 1),
    )}  # fmt: skip
    assert width["told"] == pytest.approx(width["few"] / 2, rel=0.25)
    assert width["many"] < 0.8 * width["few"]
    assert 0.4 < width["told"] / width["many"] < 2.5


RATES: dict[str, AnyAxis] = {
    AXIS: LogReal(1e-4, 10.0), "depth": LogInteger(2, 64), "momentum": Real(0.0, 0.9),
    "activation": Choice(("relu", "tanh")),
}  # fmt: skip


def planted_rates() -> Problem:
    """The largest rate falls as depth^-.8 and by a decade a unit of momentum; tanh's is .4 of relu's."""

    def median(unit_ND: Array) -> dict[str, Array]:
        points = Problem("", RATES, (), lambda _: {}).coordinates.points(unit_ND)
        log_end = [
            math.log10(2.0 * float(point["depth"]) ** -0.8 * (1.0 if point["activation"] == "relu" else 0.4))
            - float(point["momentum"])
            for point in points
        ]
        return {"T": 8 * (np.log10([float(point[AXIS]) for point in points]) - np.array(log_end))}

    return Problem("rates", RATES, (BELOW_ZERO,), median, 0.3)


def test_slopes_and_choices_are_those_that_were_planted():
    place: dict[str, Value] = {"depth": 8, "activation": "relu", "momentum": 0.2}
    found = {move.axis: move for move in moves(estimated(planted_rates(), 250), AXIS, place)}
    for name, slope in (("depth", -0.8), ("momentum", -1.0)):
        move = found[name].slope
        assert move is not None
        assert move.low <= slope <= move.high
        assert move.high - move.low < 0.3
    assert found["depth"].slope is not None
    assert found["depth"].slope.log_other
    assert found["momentum"].slope is not None
    assert not found["momentum"].slope.log_other
    relu, tanh = (float(end.value or 0) for _, end in found["activation"].levels)
    assert tanh / relu == pytest.approx(0.4, rel=0.15)
    assert found["activation"].slope is None


def test_an_axis_without_effect_at_the_place_does_not_move_the_end():
    axes: dict[str, AnyAxis] = {
        AXIS: LogReal(0.01, 1), "clip": Choice((False, True)), "clip_threshold": LogReal(0.1, 10),
    }  # fmt: skip
    problem = Problem("clip", axes, (BELOW_ZERO,), lambda unit_ND: {"T": 9 * unit_ND[:, 0] - 4})
    estimator = estimated(problem, 60)
    assert [move.axis for move in moves(estimator, AXIS, {"clip": False, "clip_threshold": 1.0})] == ["clip"]
    assert len(moves(estimator, AXIS, {"clip": True, "clip_threshold": 1.0})) == 2


def test_what_clipping_saves_by_the_region_is_what_was_planted():
    """Clipping moves the end from .4 to .7 of the range, so it saves those between and none above."""
    axes: dict[str, AnyAxis] = {AXIS: LogReal(0.01, 1), "clip": Choice((False, True))}
    problem = Problem(
        "clip",
        axes,
        (BELOW_ZERO,),
        lambda unit_ND: {"T": 12 * (unit_ND[:, 0] - np.where(unit_ND[:, 1] > 0.5, 0.7, 0.4))},
        0.2,
    )
    estimator = estimated(problem, 120)
    diverged = [{AXIS: problem.coordinates.axis_value(AXIS, u), "clip": False} for u in np.linspace(0.505, 0.995, 50)]
    saved = saved_by_region(estimator, diverged, {"clip": True})
    assert saved.of == 50
    assert saved.low is not None
    assert saved.high is not None
    assert saved.low <= 20 <= saved.high
    assert saved.high - saved.low < 8


def test_pairs_of_equal_points_are_counted():
    def trial(rate: float, threshold: float | None, *, diverged: bool = False, stable: bool = False):
        point = {AXIS: rate, "clip": threshold is not None, "clip_threshold": threshold or 1.0}
        return point, diverged, stable

    trials = [
        trial(1, None, diverged=True), trial(1, 0.1, stable=True), trial(1, 10, diverged=True),
        trial(2, None, diverged=True), trial(2, 0.1, stable=True), trial(2, 10, stable=True),
        trial(3, None, stable=True), trial(3, 0.1, stable=True),  # nothing to save
        trial(4, None, diverged=True), trial(4, None, stable=True), trial(4, 0.1, stable=True),  # does not always diverge
        trial(5, 0.1, stable=True),  # never trained without
    ]  # fmt: skip
    assert saved_in_pairs(trials) == {0.1: Saved(2, None, None, 2), 10: Saved(1, None, None, 2)}
