"""Declarations of samplers: what they cannot take is said in one sentence each."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from gradstab.study.axes import Choice, LogReal, Real
from gradstab.study.sampler_spec import (
    AnySampler,
    BoundarySpec,
    CmaEsSpec,
    GpSpec,
    GridSpec,
    RandomSpec,
    SamplerSpec,
    SobolSpec,
    TpeSpec,
)
from gradstab.study.space import SearchSpace

SPACE = SearchSpace({"init_scale": LogReal(0.5, 4.0), "activation": Choice(("relu", "tanh")), "momentum": Real(0, 0.9)})


def parse(declaration: object) -> AnySampler:
    sampler: AnySampler = TypeAdapter(SamplerSpec).validate_python(declaration)
    return sampler


@pytest.mark.parametrize("kind", [RandomSpec, SobolSpec, GridSpec, TpeSpec, GpSpec, CmaEsSpec, BoundarySpec])
def test_a_declaration_is_known_by_its_type_and_survives_a_round_trip(kind: type[AnySampler]) -> None:
    sampler = kind()
    assert parse(sampler.model_dump()) == sampler
    assert sampler.is_design == isinstance(sampler, RandomSpec | SobolSpec | GridSpec)


@pytest.mark.parametrize(
    "declaration",
    [
        {"type": "sobl"},
        {"type": "sobol", "seed": 3},
        {"type": "grid", "levels": {"momentum": 0}},
        {"type": "boundary", "batch": 0},
    ],
)
def test_what_is_no_declaration_is_refused(declaration: object) -> None:
    with pytest.raises(ValidationError):
        parse(declaration)


def test_cma_es_takes_numbers_only_and_at_least_two_of_them() -> None:
    (fault,) = CmaEsSpec().faults(SPACE, 100, 1)
    assert "'activation'" in fault
    assert "tpe or sobol" in fault
    (fault,) = CmaEsSpec().faults(SearchSpace({"momentum": Real(0, 0.9)}), 100, 1)
    assert "at least two axes, got 1" in fault
    assert CmaEsSpec().faults(SearchSpace({"a": Real(0, 1), "b": Real(0, 1)}), 100, 1) == []


def test_a_grid_names_axes_that_exist_with_the_nearest_match() -> None:
    (fault,) = GridSpec(levels={"init_scal": 3}).faults(SPACE, 10, 1)
    assert "'init_scal'" in fault
    assert "did you mean 'init_scale'?" in fault


def test_a_grid_takes_all_choices() -> None:
    (fault,) = GridSpec(levels={"activation": 1}).faults(SPACE, 10, 1)
    assert "its 2 choices, got 1" in fault


@pytest.mark.parametrize(
    ("replicates", "budget", "fits"), [(1, 18, True), (1, 19, False), (3, 54, True), (3, 55, False)]
)
def test_a_budget_may_not_exceed_the_grid(replicates: int, budget: int, fits: bool) -> None:
    faults = GridSpec(default_levels=3).faults(SPACE, budget, replicates)
    assert (faults == []) == fits
    assert all(f"at most its {18 * replicates} trials" in fault and f"got {budget}" in fault for fault in faults)


def test_a_grid_too_large_to_shuffle_is_refused() -> None:
    (fault,) = GridSpec(default_levels=1000).faults(SPACE, 10, 1)
    assert "at most 1000000 points, got 2000000" in fault


@pytest.mark.parametrize("sampler", [RandomSpec(), SobolSpec(), TpeSpec(), GpSpec(), BoundarySpec()])
def test_the_others_take_every_space_and_budget(sampler: AnySampler) -> None:
    assert sampler.faults(SPACE, 10**6, 7) == []


def test_a_batch_is_what_is_asked_for_together() -> None:
    assert BoundarySpec(batch=3).ask_batch_size() == 3
    assert TpeSpec().ask_batch_size() == BoundarySpec().ask_batch_size()
