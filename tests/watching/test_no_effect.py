"""A training with a watch is the training without it, bit for bit."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import gradstab
from tests.watching import loops


def plain(model: nn.Module) -> None:
    loops.train(model, loops.Adam(model.parameters(), 0.01), 12)


def accumulated(model: nn.Module) -> None:
    """Three batches a step, and clipping."""
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    for step in range(36):
        inputs, targets = loops.batch_of(step)
        loops.backward(functional.cross_entropy(model(inputs), targets) / 3)
        if step % 3 == 2:
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            optimizer.zero_grad()


def autocast(model: nn.Module) -> None:
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    for step in range(12):
        inputs, targets = loops.batch_of(step)
        with torch.autocast("cpu", torch.bfloat16):
            loops.backward(functional.cross_entropy(model(inputs), targets))
            optimizer.step()  # inside, where readings must not be in bfloat16
        optimizer.zero_grad(set_to_none=False)


def own_random_numbers(model: nn.Module) -> None:
    optimizer = torch.optim.RMSprop(model.parameters(), 0.01)
    for _ in range(12):
        rows = [random.randrange(96) for _ in range(16)] + list(np.random.randint(0, 96, 16))
        loss = functional.cross_entropy(model(loops.INPUTS[rows]), loops.TARGETS[rows])
        optimizer.zero_grad()
        loops.backward(loss)
        optimizer.step()


def closures(model: nn.Module) -> None:
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
    for step in range(12):
        inputs, targets = loops.batch_of(step)

        def again(inputs: Any = inputs, targets: Any = targets) -> torch.Tensor:
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(inputs), targets)
            loops.backward(loss)
            return loss

        optimizer.step(again)  # type: ignore[no-untyped-call]


def state(model: nn.Module) -> list[Any]:
    """Everything that a training may depend on."""
    return [
        *[value.clone() for value in model.state_dict().values()],
        *[value.grad.clone() for value in model.parameters() if value.grad is not None],
        torch.get_rng_state(), torch.tensor(np.random.get_state(legacy=False)["state"]["key"].astype(np.int64)), torch.tensor(random.random()),
        torch.tensor([part.training for part in model.modules()]),
        torch.tensor([value.requires_grad for value in model.parameters()]),
        torch.tensor([len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules()]),
        torch.tensor([torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")]),
    ]  # fmt: skip


def run(loop: Callable[[nn.Module], None], build: Callable[[], nn.Module], watched: bool, **options: Any) -> list[Any]:
    model = build()
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    if watched:
        with gradstab.watch(model, *loops.SIDE, functional.cross_entropy, every=3, **options) as eyes:
            loop(model)
        assert list(eyes.trajectory.probe_step_P) == [0, 3, 6, 9, 12]
        assert np.isfinite(eyes.trajectory["probe_loss"]).all()
        assert len(eyes.notes) == 1  # what it cost
    else:
        loop(model)
    return state(model)


@pytest.mark.parametrize("loop", [plain, accumulated, autocast, own_random_numbers, closures])
@pytest.mark.parametrize("dtype", ["float64", "own"])
def test_the_training_is_the_same_bit_for_bit(loop, dtype):
    without, watched = run(loop, loops.rich, False), run(loop, loops.rich, True, dtype=dtype)
    assert len(without) == len(watched)
    for one, other in zip(without, watched, strict=True):
        assert torch.equal(one, other)


class Counting(nn.Module):
    """Changes itself and draws from a generator of its own whenever it runs."""

    mean: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(3))
        self.out = nn.Linear(64, 10)
        self.generator = torch.Generator().manual_seed(3)
        self.calls = 0
        self.kept: Any = None
        self.register_buffer("mean", torch.zeros(64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        for layer in self.layers:
            x = torch.tanh(layer(x)) + 0.1 * torch.randn(x.shape, generator=self.generator)
        self.kept = x
        self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        found: torch.Tensor = self.out(x + self.mean)
        return found


def test_what_a_module_keeps_of_its_calls_is_that_of_the_training():
    models = [Counting(), Counting()]
    models[1].load_state_dict(models[0].state_dict())
    plain(models[0])
    with gradstab.watch(models[1], *loops.SIDE, functional.cross_entropy, every=3):
        plain(models[1])
    assert [model.calls for model in models] == [12, 12]
    assert torch.equal(models[0].kept, models[1].kept)
    assert torch.equal(models[0].mean, models[1].mean)
    assert torch.equal(models[0].generator.get_state(), models[1].generator.get_state())


def test_hooks_of_the_user_run_for_the_training_alone():
    model, ran = loops.chain(), []
    model[0].register_forward_hook(lambda *_: ran.append("forward"))
    model[2].register_full_backward_hook(lambda *_: ran.append("backward"))
    model[0].weight.register_hook(lambda _: ran.append("weight"))
    with gradstab.watch(model, *loops.SIDE, functional.cross_entropy, every=3) as eyes:
        plain(model)
    assert sorted(ran) == 12 * ["backward"] + 12 * ["forward"] + 12 * ["weight"]
    assert any("hooks on 0, 2 do not run in readings" in sentence for sentence in eyes.notes)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_hooks_that_are_part_of_the_module_run_in_readings():
    model = loops.chain()
    nn.utils.weight_norm(model[0])
    expected = gradstab.probe(model, *loops.SIDE, functional.cross_entropy)
    eyes = gradstab.watch(model, *loops.SIDE, functional.cross_entropy)
    eyes.read()
    np.testing.assert_allclose(eyes.trajectory["log10_delta_norm"][0], expected.log10_delta_norm_L, atol=1e-9)
    assert not eyes.notes


def test_the_side_batch_is_a_copy():
    model = loops.chain()
    inputs, targets = loops.SIDE[0].clone(), loops.SIDE[1].clone()
    eyes = gradstab.watch(model, inputs, targets, functional.cross_entropy)
    eyes.read(0)
    inputs.zero_()
    eyes.read(1)
    np.testing.assert_array_equal(*eyes.trajectory["log10_delta_norm"])


def test_random_numbers_are_the_same_at_every_reading():
    model = copy.deepcopy(loops.rich())
    eyes = gradstab.watch(model, *loops.SIDE, functional.cross_entropy)
    eyes.read(0)
    torch.manual_seed(11)
    eyes.read(1)
    np.testing.assert_array_equal(*eyes.trajectory["log10_delta_norm"])
