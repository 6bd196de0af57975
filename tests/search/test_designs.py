"""Enumerated designs: functions of (study seed, index), inside the space, each with the property it is named for."""

from __future__ import annotations

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gradstab.errors import UsageError
from gradstab.search.designs import Design, design_of
from gradstab.study.axes import Choice, Integer, LogInteger, LogReal, Real
from gradstab.study.sampler_spec import AnySampler, GridSpec, RandomSpec, SobolSpec, TpeSpec
from gradstab.study.space import SearchSpace

SPACE = SearchSpace(
    {"depth": LogInteger(2, 50), "init_scale": LogReal(0.5, 4.0), "clip": Choice((False, True)), "lr": Real(-1.0, 1.0)}
)
UNIT = SearchSpace({"x": Real(0.0, 1.0), "y": Real(0.0, 1.0), "z": Real(0.0, 1.0)})
every_design = pytest.mark.parametrize(
    "spec", [RandomSpec(), SobolSpec(), GridSpec(default_levels=6)], ids=lambda spec: spec.type
)


def make_design(spec: AnySampler, space: SearchSpace = SPACE, seed: int = 3) -> Design:
    design = design_of(spec, space, seed)
    assert design is not None
    return design


@every_design
def test_a_point_depends_on_its_index_and_not_on_what_was_asked_before(spec: AnySampler) -> None:
    forward, backward = make_design(spec), make_design(spec)
    points = [forward.point(i) for i in range(40)]
    assert [backward.point(i) for i in reversed(range(40))] == points[::-1]
    assert make_design(spec).point(17) == points[17]


@every_design
def test_another_study_seed_gives_other_points(spec: AnySampler) -> None:
    first, second = make_design(spec, seed=3), make_design(spec, seed=4)
    assert [first.point(i) for i in range(20)] != [second.point(i) for i in range(20)]


@given(index=st.integers(0, 3000), seed=st.integers(-(2**70), 2**70))
@settings(max_examples=40, deadline=None)
def test_every_point_lies_in_the_space(index: int, seed: int) -> None:
    for spec in (RandomSpec(), SobolSpec()):
        point = make_design(spec, seed=seed).point(index)
        assert list(point) == list(SPACE.names())
        assert isinstance(point["depth"], int)
        assert 2 <= point["depth"] <= 50
        assert 0.5 <= float(point["init_scale"]) <= 4.0
        assert isinstance(point["clip"], bool)
        assert -1.0 <= float(point["lr"]) <= 1.0


@pytest.mark.parametrize("first", [0, 512, 1024, 3072])
def test_every_block_of_a_sobol_design_fills_each_axis_and_each_plane_evenly(first: int) -> None:
    """512 aligned points of a (t, 3)-sequence: one in each 512th of an axis, and 8 in each cell of an 8 x 8 plane."""
    design = make_design(SobolSpec(), UNIT)
    unit_ND = np.array([list(design.point(i).values()) for i in range(first, first + 512)], dtype=float)
    for axis in range(3):
        assert sorted(np.floor(unit_ND[:, axis] * 512)) == list(range(512))
    for a, b in ((0, 1), (0, 2), (1, 2)):
        cells = Counter(zip(np.floor(unit_ND[:, a] * 8), np.floor(unit_ND[:, b] * 8), strict=True))
        assert set(cells.values()) == {8}
        assert len(cells) == 64


def test_random_points_are_uniform_on_every_axis_and_independent_between_axes_and_indices() -> None:
    design = make_design(RandomSpec(), UNIT)
    unit_ND = np.array([list(design.point(i).values()) for i in range(2000)], dtype=float)
    for axis in range(3):
        assert stats.kstest(unit_ND[:, axis], "uniform").pvalue > 1e-4
    for a, b in ((unit_ND[:, 0], unit_ND[:, 1]), (unit_ND[:, 1], unit_ND[:, 2]), (unit_ND[1:, 0], unit_ND[:-1, 0])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 4 / math.sqrt(2000)


def test_a_grid_visits_every_combination_once_and_then_ends() -> None:
    spec = GridSpec(levels={"depth": 3}, default_levels=4)
    design = make_design(spec)
    num_points = spec.num_points(SPACE)
    assert num_points == 3 * 4 * 2 * 4
    visited = Counter(tuple(design.point(i).values()) for i in range(num_points))
    assert set(visited.values()) == {1}
    levels = (SPACE.axes[name].levels(count) for name, count in zip(SPACE.names(), (3, 4, 2, 4), strict=True))
    assert set(visited) == set(product(*levels))
    with pytest.raises(UsageError, match="the grid has 96 points and so no point 96"):
        design.point(num_points)


def test_a_grid_of_few_integers_has_no_level_twice() -> None:
    space = SearchSpace({"depth": Integer(2, 4), "x": Real(0.0, 1.0)})
    spec = GridSpec(default_levels=8)
    assert spec.num_points(space) == 3 * 8
    assert spec.faults(space, budget_trials=24, replicates=1) == []


def test_an_adaptive_sampler_is_no_design() -> None:
    assert design_of(TpeSpec(), SPACE, 3) is None
