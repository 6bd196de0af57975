"""A reading of a watch is a reading of a trial, and what `gradstab.probe` finds at the same weights."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import gradstab
from gradstab.errors import UsageError
from gradstab.record.statistics.registry import STATISTICS
from gradstab.record.trajectory import FloatArray, Trajectory
from gradstab.training.data import BatchOrder
from gradstab.watching.watch import Eyes
from tests.modules import networks
from tests.modules.kit import DIGITS, member, program, recipe, trained
from tests.watching import loops

CPU = torch.device("cpu")
STEPS, EVERY = 12, 5


def watched_study(build: Any, fields: dict[str, Any]) -> tuple[Trajectory, Trajectory, dict[int, Trajectory], Any]:
    """The trajectory of a study's trial, and watches of a plain PyTorch loop that does the same training.

    The first and the last reading of a trial are on its probe rows, the others on the batch of their step: so there is
    a watch of the probe rows, and one of each such batch.
    """
    settings = {"depth": 4, "width": 16, **fields}
    given = recipe(steps=STEPS, probe_every=EVERY, precision="float64", optimizer="adam", learning_rate=0.01)
    given = given.model_copy(update={"arguments": settings, "given": tuple(settings)})
    trial = trained(program(build), given)
    model = build(**settings).double()
    model.load_state_dict(member(program(build), given).taken_home().state_dict())
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    order = BatchOrder([7], DIGITS.num_rows, given.batch_size)
    side = DIGITS.batch(DIGITS.probe_rows(64), torch.float64, CPU)
    at_step: dict[int, Eyes] = {}
    probes = {}
    with gradstab.watch(model, *side, functional.cross_entropy, every=100) as eyes:
        for step in range(STEPS):
            batch = DIGITS.batch(order.next()[0], torch.float64, CPU)
            if step % EVERY == 0:
                at_step[step] = gradstab.watch(model, *batch, networks.loss)
                at_step[step].read(step)
                probes[step] = gradstab.probe(model, *batch, networks.loss)
            loss = functional.cross_entropy(model(batch[0]), batch[1])
            optimizer.zero_grad()
            loops.backward(loss)
            optimizer.step()
    probes[STEPS] = gradstab.probe(model, *side, networks.loss)
    return trial, eyes.trajectory, {step: one.trajectory for step, one in at_step.items()}, probes


def same(found: FloatArray, expected: FloatArray, name: str) -> None:
    """Within 1e-6; a gradient that is zero but for rounding, as of a bias before a normalisation, has any size."""
    least = -12 if "grad" in name else -np.inf
    np.testing.assert_allclose(np.maximum(found, least), np.maximum(expected, least), atol=1e-6, rtol=0, err_msg=name)


@pytest.mark.parametrize(
    ("build", "fields"),
    [(networks.chain, {}), (networks.residual, {}), (networks.chain, {"between": "batch"})],
    ids=["chain", "residual", "batch normalisation"],
)
def test_a_reading_is_that_of_a_study_and_of_the_probe(build, fields):
    trial, eyes, at_step, probes = watched_study(build, fields)
    assert eyes.taps == trial.taps
    assert list(eyes.probe_step_P) == [0, STEPS]
    of_both = [name for name in STATISTICS if name in eyes and STATISTICS[name].axes == "PL"]
    assert len(of_both) >= 8
    for name in of_both:
        same(eyes[name][0], trial[name][0], name)
        if name != "log10_update_ratio":  # of the last reading there is no step any more
            same(eyes[name][-1], trial[name][-1], name)
            for step, one in at_step.items():
                same(one[name][0], trial[name][step // EVERY] if step else one[name][0], name)
    np.testing.assert_allclose(eyes["probe_loss"], trial["probe_loss"][[0, -1]], rtol=1e-9)
    # more than 16 samples that mix are an estimate, with signs that a first reading and later ones draw apart
    apart = 0.02 if "between" in fields else 1e-6
    for step, one in at_step.items():
        np.testing.assert_allclose(one["log10_delta_norm"][0], probes[step].log10_delta_norm_L, rtol=0, atol=apart)
        if step:
            np.testing.assert_allclose(one["grad_norm"][-1:], trial["grad_norm"][step : step + 1], rtol=1e-9)
    np.testing.assert_allclose(eyes["log10_delta_norm"][-1], probes[STEPS].log10_delta_norm_L, rtol=0, atol=apart)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_the_level_does_not_depend_on_how_the_loss_is_reduced(reduction):
    model = loops.chain()
    loss = nn.CrossEntropyLoss(reduction=reduction)
    eyes = gradstab.watch(model, *loops.SIDE, loss)
    eyes.read(0)
    expected = gradstab.probe(model, *loops.SIDE, functional.cross_entropy)
    np.testing.assert_allclose(eyes.trajectory["log10_delta_norm"][0], expected.log10_delta_norm_L, rtol=0, atol=1e-9)
    assert eyes.trajectory["probe_loss"][0] == pytest.approx(expected.loss)
    assert eyes.judgement.gradient_ratio == pytest.approx(expected.gradient_ratio)


def test_the_reference_is_the_entropy_of_the_side_batch():
    eyes = gradstab.watch(loops.chain(), *loops.SIDE, functional.cross_entropy)
    eyes.read()
    share = torch.bincount(loops.SIDE[1]).double() / 16
    entropy = float(-(share[share > 0] * share[share > 0].log()).sum())
    assert eyes.trajectory.reference_loss == pytest.approx(entropy)


def test_a_loss_without_reference_is_judged_by_its_gradients():
    def loss(outputs, targets):
        return (outputs.logsumexp(1) - outputs[torch.arange(len(targets)), targets]).square().mean() + 1

    model = loops.chain()
    with gradstab.watch(model, *loops.SIDE, loss, every=5) as eyes:
        loops.train(model, loops.Adam(model.parameters()), 10)
    assert np.isnan(eyes.trajectory.reference_loss)
    assert eyes.judgement.outcome == "not_run"
    assert eyes.judgement.verdict == eyes.judgement.phase
    assert eyes.judgement.training_response is None
    assert "the loss went from" in str(eyes)
    with gradstab.watch(model, *loops.SIDE, loss, target_loss=0.1, every=5) as told:
        loops.train(model, loops.Adam(model.parameters()), 10)
    assert (told.judgement.training_response or 0) > 0


def test_own_precision_reads_the_same_within_its_own_rounding():
    model = loops.chain()
    found = []
    for dtype in ("float64", "own"):
        eyes = gradstab.watch(model, *loops.SIDE, functional.cross_entropy, dtype=dtype)
        eyes.read()
        found.append(eyes.trajectory["log10_delta_norm"])
    assert 0 < np.abs(found[0] - found[1]).max() < 1e-5


def test_between_readings_a_step_has_the_values_of_the_later_reading():
    model = loops.chain()
    with gradstab.watch(model, *loops.SIDE, functional.cross_entropy, every=4) as eyes:
        loops.train(model, loops.Adam(model.parameters()), 10)
    read = eyes.trajectory["probe_loss"]
    assert list(eyes.trajectory.probe_step_P) == [0, 4, 8, 10]
    np.testing.assert_array_equal(eyes.trajectory["loss"], read[[0, 1, 1, 1, 1, 2, 2, 2, 2, 3]])


def test_updates_are_those_of_the_step_after_the_reading():
    model = loops.chain()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with gradstab.watch(model, *loops.SIDE, functional.cross_entropy, every=2) as eyes:
        loops.train(model, optimizer, 2)
        before = copy.deepcopy(model[2].weight)
        loops.train(model, optimizer, 1, first=2)
        expected = torch.log10((model[2].weight - before).norm() / before.norm()).detach()
    assert eyes.trajectory["log10_update_ratio"][1, 1] == pytest.approx(float(expected), abs=1e-5)
    assert np.isnan(eyes.trajectory["log10_update_ratio"][-1]).all()


def test_a_zero_readout_is_looked_behind_at_the_first_reading_only():
    model = loops.chain()
    nn.init.zeros_(model[-1].weight)
    with gradstab.watch(model, *loops.SIDE, functional.cross_entropy, every=2) as eyes:
        loops.train(model, torch.optim.SGD(model.parameters(), 0.1), 2)
    expected = gradstab.probe(loops.chain(), *loops.SIDE, functional.cross_entropy)
    assert abs(eyes.judgement.gradient_ratio - expected.gradient_ratio) < 0.5
    assert np.isfinite(eyes.trajectory["log10_delta_norm"]).all()


def test_frozen_weights_have_no_norm_and_are_no_part_of_the_whole():
    model = loops.chain()
    model[0].requires_grad_(False)
    eyes = gradstab.watch(model, *loops.SIDE, functional.cross_entropy)
    eyes.read(0)
    model[0].requires_grad_(True)
    eyes.read(1)
    frozen, trained_ = eyes.trajectory["log10_weight_grad_norm"]
    assert np.isnan(frozen[0])
    assert np.isfinite(trained_).all()
    np.testing.assert_array_equal(frozen[1:], trained_[1:])
    assert eyes.trajectory["grad_norm"][0] > 0
    np.testing.assert_array_equal(*eyes.trajectory["log10_delta_norm"])


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"every": 0}, "every must be a number of steps"),
        ({"dtype": "float16"}, "dtype must be"),
        ({"taps": "nothing.*"}, "taps="),
        ({"inputs": torch.full((4, 64), torch.nan), "targets": torch.zeros(4, dtype=torch.long)}, "must be numbers"),
        ({"model": nn.Linear(64, 10)}, "at least one hidden layer"),
        ({"model": nn.LazyLinear(10)}, "lazy"),
        ({"inputs": torch.randn(16, 63)}, "the module raised RuntimeError"),
    ],
)
def test_what_cannot_be_read_is_told_at_the_start(fault, sentence):
    given = {"model": loops.chain(), "inputs": loops.SIDE[0], "targets": loops.SIDE[1], **fault}
    with pytest.raises(UsageError, match=sentence):
        gradstab.watch(given.pop("model"), given.pop("inputs"), given.pop("targets"), functional.cross_entropy, **given)


def test_infinite_numbers_in_the_side_batch_are_noted_and_stop_no_training():
    inputs = loops.SIDE[0].clone()
    inputs[3] = torch.inf
    model = loops.chain()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with gradstab.watch(model, inputs, loops.SIDE[1], functional.cross_entropy, every=1) as eyes:
        for _ in range(2):
            optimizer.zero_grad()
            functional.cross_entropy(model(loops.SIDE[0]), loops.SIDE[1]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    assert "inputs must be finite, got 64 infinite numbers" in eyes.notes[0]
    assert "says nothing of the network" in str(eyes)
