"""What `gradstab.probe` says of each family: where it looks, and the signs that the literature gives."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gradstab.module_probe import Probe, probe
from tests.families.cases import CASES, LENGTH, Case, batch


def measure(family: str, seed: int = 0, **settings: Any) -> Probe:
    case = Case(family, settings)
    inputs, targets = batch(family, seed)
    return probe(case.build(seed), inputs, targets, case.module.loss)


def mean_ratio(family: str, **settings: Any) -> float:
    return sum(measure(family, seed, **settings).gradient_ratio for seed in range(SEEDS)) / SEEDS


SEEDS = 3

POSITIONS = {
    "mlp": ("layers", 8),
    "residual": ("blocks", 8),
    "transformer": ("blocks", 4),
    "rnn": ("calls", LENGTH),
    "conv": ("layers", 8),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_family_has_one_judged_series_over_depth_or_time(case):
    inputs, targets = case.batch()
    found = probe(case.build(0), inputs, targets, case.module.loss)
    assert found.phase is not None
    assert len(found.series) == 1
    assert (found.series[0].axis, len(found.layers)) == POSITIONS[case.family]
    assert all(found.series[0].whole)


def test_residual_blocks_of_scale_one_explode_and_those_of_depth_scale_do_not():
    deep: dict[str, Any] = {"depth": 32, "init_scale": math.sqrt(2), "width": 128}
    assert mean_ratio("residual", **deep) > 5
    assert abs(mean_ratio("residual", residual_scale=32**-0.5, **deep)) < 0.6
    assert abs(mean_ratio("residual", branch_init="depth-scaled", **deep)) < 0.6
    assert 0.2 < mean_ratio("residual", norm="layer", **deep) < 1


@pytest.mark.parametrize("family", ["residual", "transformer"])
@pytest.mark.parametrize("settings", [{"branch_init": "zero"}, {"residual_scale": 0.0}], ids=str)
def test_branches_that_add_nothing_pass_gradients_as_they_are(family, settings):
    found = measure(family, depth=12, **settings)
    assert found.gradient_ratio == pytest.approx(0, abs=1e-9)
    assert found.phase == "stable"


def test_the_last_blocks_gradient_falls_with_depth_if_pre_norm_and_not_if_post_norm():
    """Theorem 1 of Xiong et al. 2020 (On layer normalization in the transformer architecture).

    The last norm divides a pre-norm stream by its length, which grows with depth, and so its gradient.
    """
    level = {}
    for place in ("pre", "post"):
        for depth in (3, 12):
            found = [measure("transformer", seed, depth=depth, norm_place=place) for seed in range(SEEDS)]
            level[place, depth] = sum(float(one.log10_delta_norm_L[-1]) for one in found) / len(found)
            ratio = sum(one.gradient_ratio for one in found) / len(found)
            assert (0 < ratio < 0.5) if place == "pre" else (-0.2 < ratio < 0.3)
    assert level["post", 12] == pytest.approx(level["post", 3], abs=0.03)
    assert 0.15 < level["pre", 3] - level["pre", 12] < 0.5 * math.log10(12 / 3)
    assert level["post", 12] - level["pre", 12] > 0.4


def test_forget_bias_lengthens_memory():
    """Jozefowicz et al. 2015: a gate that starts open keeps gradients."""
    for cell in ("lstm", "gru"):
        closed, usual, open_ = (
            measure("rnn", cell=cell, forget_bias=bias, init_scale=0.5).rate for bias in (-1.0, 1.0, 4.0)
        )
        assert closed is not None
        assert usual is not None
        assert open_ is not None
        assert closed < usual < open_ < 0.02
        assert usual == pytest.approx(math.log(1 / (1 + math.exp(-1.0))), abs=0.15)


def test_vanilla_recurrence_vanishes_and_explodes_with_its_weights():
    """Pascanu et al. 2013: below and above the critical scale."""
    assert measure("rnn", init_scale=0.5).phase == "vanishing"
    assert measure("rnn", init_scale=3.0, input_scale=0.3, weight_init="normal").phase == "exploding"
