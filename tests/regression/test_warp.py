"""Bands against the criterion's own judgement, and the warp against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstab.errors import UsageError
from gradstab.regression.warp import Warp, warp_for
from gradstab.stability.judgement import margin_of
from gradstab.study.criterion import Criterion
from gradstab.study.response_band import ResponseBand, response_bands

responses = st.floats(-37, 37)


@given(ratio=responses, training=st.floats(-3, 3), ratio_band=st.floats(0.1, 5))
def test_in_every_band_is_a_positive_margin(ratio, training, ratio_band):
    criterion = Criterion(ratio_band=ratio_band)
    ratio_band_, training_band = response_bands(criterion, steps=10)
    inside = bool(ratio_band_.contains(ratio) and training_band.contains(training))
    assert inside == (margin_of({"R": ratio, "T": training}, criterion, 10) > 0)


def test_without_training_only_the_gradient_ratio_counts():
    assert [band.name for band in response_bands(Criterion(responses=("T",)), steps=0)] == ["R"]
    assert [band.name for band in response_bands(Criterion(responses=("T",)), steps=5)] == ["T"]


def test_nan_lies_in_no_band():
    assert not response_bands(Criterion(), 0)[0].contains([math.nan]).any()


@given(reach=st.sampled_from([1.0, 10.0]), unit=st.floats(0.1, 3), response=responses)
def test_warp_is_undone_and_its_derivatives_are_its_own(reach, unit, response):
    warp = Warp(unit, reach)
    assert float(warp.inverse(warp(response))) == pytest.approx(response, abs=1e-9)
    step = 1e-4
    around = warp(response + step * unit * np.array([-1, 0, 1]))
    assert (around[2] - around[0]) / (2 * step) == pytest.approx(float(warp.slope(response)), abs=1e-6)
    assert (around[2] - 2 * around[1] + around[0]) / step**2 == pytest.approx(float(warp.curvature(response)), abs=1e-4)


def test_warp_reaches_farther_from_25_trials_an_axis_on():
    (band,) = response_bands(Criterion(ratio_band=2.0), 0)
    assert warp_for(band, 49, 2) == Warp(2.0, 1.0)
    assert warp_for(band, 50, 2) == Warp(2.0, 10.0)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (-math.inf, math.inf), (math.nan, 1), (0, math.nan)])
def test_a_band_must_be_an_interval(low, high):
    with pytest.raises(UsageError, match="must be an interval with a finite end"):
        ResponseBand("R", low, high, 1.0)


@pytest.mark.parametrize("unit", [0, -1, math.inf, math.nan])
def test_a_unit_must_be_positive(unit):
    with pytest.raises(UsageError, match="unit of R must be positive and finite"):
        ResponseBand("R", -1, 1, unit)
