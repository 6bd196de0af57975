"""R, interval, verdict and headroom of norms that are known."""

from __future__ import annotations

import numpy as np
import pytest

from gradstab.probing.profiles import Series, series_of
from gradstab.probing.wording import headline, headroom


def of(
    norm_NL: list[list[float]], *, sampled: bool = False, whole: tuple[bool, ...] = (), axis: str = "layers"
) -> Series:
    norms = np.array(norm_NL)
    return series_of(
        "h.#", axis, tuple(f"h.{index}" for index in range(norms.shape[1])), norms, norms[0],
        np.full(norms.shape[1], np.nan), np.full(norms.shape[1], np.nan), level=0.0, peak_level=0.0,
        band=1.0, sampled=sampled, whole=whole or (True,) * norms.shape[1], judged=any(whole) or not whole,
    )  # fmt: skip


def test_ratio_and_rate_are_in_decades_and_per_position():
    found = of([[1e-3, 1e-2, 1e-1, 1.0, 10.0]])
    assert found.gradient_ratio == pytest.approx(-4)
    assert found.rate == pytest.approx(-np.log(10))
    assert found.phase == found.verdict == "vanishing"
    assert headline(found) == "vanishing: R = -4.00 decades over 5 hidden layers, factor 0.1 a layer"


def test_squares_neither_underflow_nor_overflow():
    assert of([[1e-200, 1e-190], [3e-200, 1e-190]]).gradient_ratio == pytest.approx(
        0.5 * np.log10((1 + 9) / 2) - 10, abs=1e-12
    )
    assert of([[1e200, 1e190]]).gradient_ratio == pytest.approx(10)


@pytest.mark.parametrize(
    ("norms", "ratio", "flag"),
    [([0.0, 1.0], -37, "underflow"), ([np.inf, 1.0], 37, "overflow"), ([1.0, np.inf], 37, "overflow")],
)
def test_what_cannot_be_divided_is_clamped_and_flagged(norms, ratio, flag):
    found = of([norms])
    assert (found.gradient_ratio, found.flag) == (ratio, flag)


def test_the_interval_is_the_jackknifes():
    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        norms = np.exp(0.3 * generator.standard_normal((16, 2)))
        found = of(norms.tolist(), sampled=True)
        assert found.interval is not None
        inside += found.interval[0] < 0 < found.interval[1]
    assert 180 < inside <= 200  # of 95 %


def test_an_interval_over_the_edge_is_undecided():
    spread = [[10.0 * factor, 1.0] for factor in (0.5, 0.8, 1.0, 1.2, 1.5)]
    assert of(spread, sampled=True).verdict == "undecided"
    assert of(spread).verdict == "exploding"


def test_positions_that_did_not_run_are_left_out_of_the_mean():
    assert of([[1.0, 2.0, 1.0], [1.0, np.nan, 1.0]]).log10_delta_norm_L[1] == pytest.approx(np.log10(2))


def test_only_whole_gradients_are_judged():
    found = of([[1e-5, 1.0, 1.0]], whole=(False, True, True))
    assert found.gradient_ratio == pytest.approx(0)
    assert of([[1e-5, 1.0, 1.0]], whole=(False, False, False)).phase is None


def test_time_steps_lead_with_the_rate():
    found = of([[1e-3, 1e-2, 1e-1, 1.0, 10.0]], axis="time steps")
    assert headline(found) == "vanishing: factor 0.1 a step, R = -4.00 decades over 5 time steps"


@pytest.mark.parametrize(
    ("norms", "words"),
    [
        ([1.0, 1e-3], "hold the gradient at all 2"),
        ([1e-9, 1e-3], "float16 loses it at 1 of 2 hidden layers; with a loss scale of 2^"),
        ([1e-9, 1e6], "float16 loses it at 2 of 2 hidden layers"),
        ([1e-50, 1.0], "float16 loses it at 1, bfloat16 loses it at 1 of 2"),
    ],
)
def test_headroom_counts_positions_outside_a_types_range(norms, words):
    assert words in headroom(of([norms]))
