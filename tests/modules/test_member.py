"""A module in training: the same numbers as a plain PyTorch loop, and the gradients that `gradstab.probe` reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

import gradstab
from gradstab.study.module_recipe import ModuleRecipe
from gradstab.training.data import BatchOrder
from gradstab.training.modules.faults import ProgramError
from tests.modules import networks
from tests.modules.kit import DIGITS, member, program, recipe, trained

OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda weights, one: torch.optim.SGD(
        weights, one.learning_rate, momentum=one.momentum, weight_decay=one.weight_decay
    ),
    "adam": lambda weights, one: torch.optim.Adam(weights, one.learning_rate, weight_decay=one.weight_decay),
    "adamw": lambda weights, one: torch.optim.AdamW(weights, one.learning_rate, weight_decay=one.weight_decay),
}


def plain_losses(build: Any, given: ModuleRecipe, seed: int = 7) -> NDArray[np.float64]:
    """The losses of a plain PyTorch loop on the same module and the same batches."""
    module: Any = build(**given.arguments)
    start = member(program(build), given, seed)
    module.load_state_dict(start.module.state_dict())
    module = module.double()
    optimizer = OPTIMIZERS[given.optimizer](module.parameters(), given)
    order = BatchOrder([seed], DIGITS.num_rows, given.batch_size)
    losses = []
    for _ in range(given.steps):
        inputs, targets = DIGITS.batch(order.next()[0], torch.float64, torch.device("cpu"))
        with torch.enable_grad():
            loss = functional.cross_entropy(module(inputs), targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        if given.clip:
            nn.utils.clip_grad_norm_(module.parameters(), given.clip_threshold)
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)


@pytest.mark.parametrize(
    "fields",
    [
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.01},
        {"optimizer": "adam", "learning_rate": 0.01},
        {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.1},
        {"optimizer": "sgd", "clip": True, "clip_threshold": 0.3},
    ],
    ids=["sgd", "momentum", "adam", "adamw", "clipped"],
)
@pytest.mark.parametrize("build", [networks.chain, networks.residual], ids=["chain", "residual"])
def test_losses_are_those_of_a_plain_loop(build, fields):
    given = recipe(depth=4, width=16, precision="float64", **fields)
    given = given.model_copy(update={"arguments": {"depth": 4, "width": 16}, "given": ("depth", "width")})
    found = trained(program(build), given)
    np.testing.assert_allclose(found["loss"], plain_losses(build, given), rtol=1e-9)


@pytest.mark.parametrize("build", [networks.chain, networks.residual], ids=["chain", "residual"])
def test_the_first_probe_reads_what_the_probe_function_reads(build):
    given = settings(depth=6, width=16)
    started = member(program(build), given)
    rows = DIGITS.probe_rows(64)
    inputs, targets = DIGITS.batch(rows, torch.float64, torch.device("cpu"))
    expected = gradstab.probe(started.module, inputs, targets, functional.cross_entropy)
    found = trained(program(build), given)
    assert found.taps == expected.series[0].taps
    np.testing.assert_allclose(found["log10_delta_norm"][0], expected.series[0].log10_delta_norm_L, atol=1e-5)
    of_samples = expected.series[0].log10_delta_max_L + np.log10(len(rows))
    np.testing.assert_allclose(found["log10_delta_max"][0], of_samples, atol=1e-5)


def settings(**fields: Any) -> ModuleRecipe:
    """A recipe whose depth and width are arguments of build."""
    arguments = {name: fields.pop(name) for name in ("depth", "width", "between") if name in fields}
    return recipe(**fields).model_copy(update={"arguments": arguments, "given": tuple(arguments)})


def test_values_follow_from_the_seed_alone():
    given = settings(depth=4, width=16, between="dropout")
    torch.manual_seed(1)
    first = trained(program(networks.chain), given)
    torch.manual_seed(2)
    torch.rand(5)
    second = trained(program(networks.chain), given)
    other = trained(program(networks.chain), given, seed=8)
    assert first["loss"].tobytes() == second["loss"].tobytes()
    assert first["log10_delta_norm"].tobytes() == second["log10_delta_norm"].tobytes()
    assert (first["loss"] != other["loss"]).all()


def test_training_leaves_the_global_generators_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    trained(program(networks.chain), settings(depth=3, width=8, between="dropout"))
    assert torch.rand(1) == expected


def test_dropout_draws_other_masks_at_every_step():
    started = member(program(networks.chain), settings(depth=3, width=16, between="dropout"))
    rows = np.arange(32)[None]
    losses = {float(started.loss_and_gradient(rows)) for _ in range(3)}  # the same rows and weights each time
    assert len(losses) == 3
    without = member(program(networks.chain), settings(depth=3, width=16))
    assert len({float(without.loss_and_gradient(rows)) for _ in range(3)}) == 1


def test_batch_normalisation_mixes_samples_and_is_read_by_passes_with_signs():
    started = member(program(networks.chain), settings(depth=4, width=16, between="batch"))
    assert started.places.mixes
    assert not member(program(networks.chain), settings(depth=4, width=16)).places.mixes


def test_samples_that_mix_are_read_in_batches_of_another_size_than_the_first():
    started = member(
        program(networks.chain), settings(depth=4, width=16, between="batch", probe_samples=64, precision="float64")
    )
    rows = np.arange(16)
    inputs, targets = DIGITS.batch(rows, torch.float64, torch.device("cpu"))
    expected = gradstab.probe(started.module, inputs, targets, functional.cross_entropy)
    _, layers = started.read(rows[None], first=True)
    np.testing.assert_allclose(layers["log10_delta_norm"][:, 0], expected.log10_delta_norm_L, atol=1e-5)


def test_readings_leave_running_statistics_of_the_training_alone():
    given = settings(depth=3, width=8, between="batch", steps=0)
    started = member(program(networks.chain), given)
    before = {name: value.clone() for name, value in started.module.named_buffers()}
    started.probe(DIGITS.probe_rows(64)[None])
    started.accuracy(DIGITS.accuracy_rows)
    for name, value in started.module.named_buffers():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_weight_scale_multiplies_the_weights_inside_the_taps(factor):
    plain = member(program(networks.chain), settings(depth=3, width=8)).module
    scaled = member(program(networks.chain), settings(depth=3, width=8, weight_scale=factor)).module
    for (name, one), (_, other) in zip(plain.named_parameters(), scaled.named_parameters(), strict=True):
        inside = name.startswith("layers") and name.endswith("weight")
        torch.testing.assert_close(other, one * factor if inside else one, msg=name)


def test_patterns_choose_which_weights_are_scaled():
    given = settings(depth=3, width=8, weight_scale=2.0)
    plain: Any = member(program(networks.chain), settings(depth=3, width=8)).module
    scaled: Any = member(program(networks.chain, scaled=("layers.1",)), given).module
    torch.testing.assert_close(scaled.layers[1].weight, 2 * plain.layers[1].weight)
    torch.testing.assert_close(scaled.layers[0].weight, plain.layers[0].weight)


def tied(depth: int, width: int) -> nn.Module:
    shared = nn.Linear(width, width)
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, width),
        *[m for _ in range(depth) for m in (shared, nn.Tanh())],
        nn.Linear(width, 10),
    )


def test_tied_weights_are_trained_and_scaled_once():
    plain: Any
    scaled: Any
    plain, scaled = (
        member(program(tied), settings(depth=3, width=8, weight_scale=scale)).module for scale in (1.0, 2.0)
    )
    torch.testing.assert_close(scaled[2].weight, 2 * plain[2].weight)
    given = settings(depth=3, width=8, precision="float64")
    np.testing.assert_allclose(trained(program(tied), given)["loss"], plain_losses(tied, given), rtol=1e-9)


class Frozen(nn.Module):
    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        self.inner = networks.Chain(depth, width)
        self.inner.layers[0].requires_grad_(False)

    def forward(self, x):
        return self.inner(x)


def test_frozen_weights_stay_as_they_are():
    given = settings(depth=3, width=8)
    started = member(program(Frozen), given)
    module: Any = started.module
    before = module.inner.layers[0].weight.clone()
    started.loss_and_gradient(np.arange(32)[None])
    assert torch.equal(module.inner.layers[0].weight, before)
    assert np.isfinite(trained(program(Frozen), given)["loss"]).all()


def zero_readout(depth: int, width: int) -> nn.Module:
    made = networks.Chain(depth, width)
    nn.init.zeros_(made.out.weight)
    return made


def test_a_zero_readout_is_drawn_anew_for_the_first_reading_alone():
    found = trained(program(zero_readout), settings(depth=5, width=16))
    assert np.isfinite(found["log10_delta_norm"][0]).all()
    assert found["loss"][0] == pytest.approx(np.log(10), abs=0.5)


def exploding(depth: int, width: int) -> nn.Module:
    made = networks.Residual(depth, width)
    blocks: Any = made.blocks
    for block in blocks:
        nn.init.constant_(block.branch.weight, 1e30)
    return made


def test_numbers_that_leave_their_range_are_a_result():
    found = trained(program(exploding), settings(depth=6, width=16, learning_rate=1e30))
    assert found.nonfinite_step is not None
    assert np.isnan(found["loss"][-1])


def test_a_numerical_error_of_the_module_is_a_divergence():
    class Singular(networks.Chain):
        steps = 0

        def forward(self, x):
            self.steps += 1
            if self.steps > 6:
                raise FloatingPointError("the matrix is singular")
            return super().forward(x)

    found = trained(program(Singular), settings(depth=3, width=8))
    assert found.nonfinite_step is not None


def test_any_other_error_is_the_programs_fault():
    class Faulty(networks.Chain):
        def forward(self, x):
            if torch.is_grad_enabled() and len(x) == 32:
                raise ValueError("no batches of 32")
            return super().forward(x)

    with pytest.raises(ValueError, match="no batches of 32"):
        trained(program(Faulty), settings(depth=3, width=8))


@pytest.mark.parametrize(
    ("loss", "got"),
    [
        (functional.cross_entropy, r"shape \(\)"),
        (lambda outputs, targets: 1.0, "float"),
        (lambda outputs, targets: outputs, r"shape \(32, 10\)"),
    ],
)
def test_a_loss_that_is_not_one_number_a_sample_is_refused(loss, got):
    started = member(program(networks.chain), settings(depth=3, width=8))
    with pytest.raises(ProgramError, match=f"the loss of each sample.*{got}"):
        program(networks.chain, loss).losses(
            started.module, *DIGITS.batch(np.arange(32), torch.float32, torch.device("cpu")), 32
        )


def test_accuracy_is_that_of_the_largest_score():
    given = settings(depth=2, width=32, steps=40, optimizer="adam", learning_rate=0.01)
    found = trained(program(networks.chain), given)
    assert found["accuracy"][-1] > 0.8
    assert found["accuracy"][0] < 0.4


def test_an_own_update_is_read_at_every_tap():
    given = settings(depth=3, width=16, learning_rate=1e-3)
    found = trained(program(networks.chain), given)
    started = member(program(networks.chain), given)
    started.loss_and_gradient(BatchOrder([7], DIGITS.num_rows, 32).next())
    first = dict(zip(started.placed.names, started._grads, strict=True))["layers.0.weight"]
    module: Any = started.module
    weight = module.layers[0].weight.detach()
    expected = torch.log10(1e-3 * first.norm() / weight.norm())
    assert found["log10_update_ratio"][0, 0] == pytest.approx(float(expected), abs=1e-5)
    assert found["log10_weight_grad_norm"].shape == (len(found.probe_step_P), 3)


class Scales(nn.Module):
    """Blocks without a single weight of two dimensions."""

    def __init__(self):
        super().__init__()
        self.scales = nn.ModuleList(nn.LayerNorm(64) for _ in range(3))
        self.out = nn.Linear(64, 10)

    def forward(self, x):
        for scale in self.scales:
            x = scale(x)
        return self.out(x)


def test_taps_without_matrices_are_trained_and_have_no_update_to_read():
    found = trained(program(Scales, taps=("scales.*",)), recipe())
    assert found.depth == 3
    assert found["loss"][-1] < found["loss"][0]
    assert np.isnan(found["log10_update_ratio"]).all()
    assert np.isfinite(found["log10_bias_grad_norm"]).all()
