"""Optuna's own tests of samplers, in which `gradstab.BoundarySampler` must be like any other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, MultiObjectiveSamplerTestCase, RelativeSamplerTestCase

from gradstab import BoundarySampler


@pytest.fixture(params=[None, 1], ids=["start-up points", "model from the first trial on"])
def sampler(request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
    return lambda: BoundarySampler((-1.0, 1.0), startup_trials=request.param)


class TestLikeAnySampler(BasicSamplerTestCase):
    @pytest.fixture
    def sampler(self, sampler):
        return sampler


class TestLikeARelativeSampler(RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self, sampler):
        return sampler


class TestOfSeveralObjectives(MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self, sampler):
        return sampler
