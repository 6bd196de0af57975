"""The search for a factor, on curves whose zeros and edges are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from gradstab.probing.factor_search import CLAMPED, LARGEST, search_factor


def clamped(curve: Callable[[float], float]) -> Callable[[float], float]:
    return lambda factor: max(-CLAMPED, min(CLAMPED, curve(factor)))


@pytest.mark.parametrize("slope", [1, 9, 29, 99, 999])
@pytest.mark.parametrize("zero", [1 / 20, 0.4, 0.9, 1.02, 1.7, 24.0])
def test_a_straight_line_as_of_a_relu_chain(slope, zero):
    found = search_factor(clamped(lambda factor: slope * math.log10(factor / zero)), 1.0)
    assert found.found == "zero"
    assert found.factor is not None
    assert abs(slope * math.log10(found.factor / zero)) <= 0.05
    for end, side in ((found.low, -1), (found.high, 1)):
        edge = zero * 10 ** (side / slope)
        if 1 / LARGEST < edge < LARGEST:
            assert end == pytest.approx(edge, rel=max(0.02 / slope, 5e-4))
        else:
            assert end is None
    assert len(found.tried) <= 30


def test_a_network_at_zero_needs_no_factor_and_has_its_band():
    found = search_factor(lambda factor: 5 * math.log10(factor) + 0.03, 1.0)
    assert (found.found, found.factor) == ("zero", 1.0)
    assert found.low == pytest.approx(10**-0.206, rel=5e-3)
    assert found.high == pytest.approx(10**0.194, rel=5e-3)


def test_larger_weights_that_vanish_are_made_smaller():
    """As where a normalisation after the addition lets the stream fade."""
    found = search_factor(lambda factor: -4 * math.log10(factor) - 3, 1.0)
    assert found.found == "zero"
    assert found.factor == pytest.approx(10**-0.75, rel=5e-3)


def test_a_ratio_that_flattens_gives_the_largest_factor_close_to_zero():
    """As a residual stack, whose branches fade: R of s is L/2 log10(1 + s^2)."""
    found = search_factor(lambda factor: 6 * math.log10(1 + factor**2), 1.0)
    assert found.found == "near zero"
    assert found.factor is not None
    ratio = 6 * math.log10(1 + found.factor**2)
    assert 0.02 < ratio <= 0.05
    assert found.low is None
    assert found.high == pytest.approx(math.sqrt(10 ** (1 / 6) - 1), rel=0.01)


def test_what_hardly_moves_between_a_half_and_two_is_searched_on():
    found = search_factor(lambda factor: 1.3 - 0.0001 * factor**4, 1.0)
    assert found.found == "no effect"
    found = search_factor(lambda factor: 1.3 - 0.001 * factor**4, 1.0)
    assert found.found == "zero"
    assert found.factor == pytest.approx(1300**0.25, rel=0.01)


def test_what_does_not_move_has_no_effect():
    found = search_factor(lambda factor: 2.37 + 0.001 * math.log10(factor), 1.0)
    assert (found.found, found.factor, found.low, found.high) == ("no effect", None, None, None)
    assert [factor for factor, _ in found.tried] == [0.5, 1.0, 2.0]


def test_a_clamped_ratio_is_searched_further():
    """-37 at 1/2, 1 and 2 only tells the sign."""
    found = search_factor(clamped(lambda factor: 200 * math.log10(factor / 7.3)), 1.0)
    assert found.factor == pytest.approx(7.3, rel=1e-3)


def test_no_factor_may_do_and_the_nearest_is_kept():
    found = search_factor(lambda factor: 2 + abs(math.log2(factor) + 2), 1.0)
    assert (found.found, found.factor) == ("none", None)
    assert dict(found.tried)[0.25] == 2.0


def test_the_least_ratio_within_the_band_is_told_as_such():
    found = search_factor(lambda factor: 0.4 + abs(math.log2(factor) + 2), 1.0)
    assert (found.found, found.factor) == ("least", 0.25)
    assert found.low == pytest.approx(2**-2.6, rel=0.01)
    assert found.high == pytest.approx(2**-1.4, rel=0.01)


def test_a_jump_over_zero_is_no_zero():
    found = search_factor(lambda factor: -3.0 if factor < 1.5 else 4.0, 1.0)
    assert (found.found, found.factor) == ("none", None)


def test_a_hill_that_crosses_zero_between_octaves_is_found():
    found = search_factor(lambda factor: 0.4 - 4 * abs(math.log2(factor) - 2.5), 1.0)
    assert found.found == "zero"
    assert abs(math.log2(found.factor or 1.0) - 2.5) == pytest.approx(0.1, abs=0.01)


def test_where_nothing_can_be_measured_the_search_turns():
    found = search_factor(lambda factor: None if factor > 1 else -4 - 6 * math.log10(factor), 1.0)
    assert found.found == "zero"
    assert found.factor == pytest.approx(10 ** (-2 / 3), rel=0.01)
    alone = search_factor(lambda factor: None if factor != 1 else -4.0, 1.0)
    assert (alone.found, alone.tried) == ("none", ((0.5, None), (1.0, -4.0), (2.0, None)))
