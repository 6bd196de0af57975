"""Recurrent theory against closed forms, and against wide vanilla cells of the shipped family."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradstab.module_probe import probe
from gradstab.theory.critical_scales import log_lengths
from gradstab.theory.layer_maps import chi_1
from gradstab.theory.recurrent import recurrent_ratio, settled_rate, step_gains
from tests.families.cases import LENGTH, Case
from tests.families.test_probes import measure


def test_a_linear_cell_multiplies_by_its_scale_at_each_step():
    assert step_gains("linear", 5, init_scale=1.2, drive=0.3) == pytest.approx([2 * math.log(1.2)] * 5)


def test_a_saturating_cell_settles():
    gains = step_gains("tanh", 300, init_scale=1.4, drive=0.5)
    rate = settled_rate("tanh", init_scale=1.4, drive=0.5)
    assert 0.5 * gains[-1] == pytest.approx(rate, rel=1e-6)
    assert gains[0] != pytest.approx(gains[-1], rel=0.05)


def test_a_step_is_a_layer_whose_bias_is_the_drive():
    """A stack and a cell begin at different lengths and agree once these have settled."""
    gains = step_gains("tanh", 60, init_scale=1.1, drive=0.2)
    q = math.exp(log_lengths("tanh", 1.1, math.sqrt(0.2), 60)[0, -1])
    assert gains[-1] == pytest.approx(math.log(chi_1("tanh", 1.1, q)), rel=1e-6)


def test_the_ratio_leaves_out_the_first_step_which_lies_before_the_first_state():
    gains = step_gains("tanh", 9, init_scale=2.0, drive=0.2)
    assert recurrent_ratio("tanh", 9, init_scale=2.0, drive=0.2) == pytest.approx(sum(gains[1:]) / 2 / math.log(10))


@pytest.mark.parametrize(("init_scale", "input_scale"), [(0.8, 0.5), (1.5, 0.5), (3.0, 1.0)])
def test_wide_cells_follow_theory(init_scale, input_scale):
    """R over 20 steps of width 512; the errors are 4 standard errors of 5 seeds and .02 decades for finite width."""
    found = [
        measure(
            "rnn", seed, width=512, weight_init="normal", init_scale=init_scale, input_scale=input_scale
        ).gradient_ratio
        for seed in range(5)
    ]
    predicted = recurrent_ratio("tanh", LENGTH, init_scale=init_scale, drive=input_scale**2)
    error = 4 * float(np.std(found, ddof=1)) / math.sqrt(len(found)) + 0.02
    assert np.mean(found) == pytest.approx(predicted, abs=error)
    assert error < 0.2


def test_an_input_of_one_number_is_compared_at_the_states_too():
    """Its matrix has one column, and is a layer as any other: so the products are no plain chain."""
    case = Case("rnn", {"width": 512, "features": 1, "weight_init": "normal", "init_scale": 2.5, "input_scale": 0.5})
    found = []
    for seed in range(5):
        inputs, targets = case.batch(seed)
        found.append(probe(case.build(seed), inputs[:, :, :1].sign(), targets, case.module.loss))
    assert {name for one in found for name in one.layers} == {"cell"}
    ratios = [one.gradient_ratio for one in found]
    predicted = recurrent_ratio("tanh", LENGTH, init_scale=2.5, drive=0.25)
    error = 4 * float(np.std(ratios, ddof=1)) / math.sqrt(len(ratios)) + 0.02
    assert np.mean(ratios) == pytest.approx(predicted, abs=error)
    assert error < 0.2
