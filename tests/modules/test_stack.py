"""Members computed at once: their numbers are those of one after another, up to rounding, and each is its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gradstab.record.failure import Failure, FailureKind
from gradstab.record.trajectory import Trajectory
from gradstab.study.module_recipe import ModuleRecipe
from gradstab.training.modules.data import ModuleData
from gradstab.training.modules.member import ModuleMember
from gradstab.training.modules.program import Program
from gradstab.training.modules.stack import ModuleStack
from gradstab.training.trainer import StackTraining, UnstackableError, train_in_steps
from tests.modules import networks, stackable
from tests.modules.kit import CPU, DIGITS, program, recipe, trained

NOISE = {"log10_bias_grad_norm", "log10_weight_grad_norm"}  # of biases whose gradient is zero but for rounding


def built(kind: type[nn.Module]) -> Callable[..., nn.Module]:
    """A build function for a class of modules."""
    sizes = {"depth": 4, "width": 16}

    def build(**arguments: Any) -> nn.Module:
        return kind(**{name: value for name, value in sizes.items() if name in taken}, **arguments)

    taken = inspect.signature(kind).parameters
    return build


def at_once(
    of: Program,
    recipes: Sequence[ModuleRecipe],
    seeds: Sequence[int],
    data: ModuleData = DIGITS,
    failure_of: Callable[[Exception], Failure] | None = None,
) -> list[Any]:
    """The trajectories of members that are computed at once, or one by one where that fails on the way."""

    def family(some: Any, own: Any, rows: Any, device: torch.device) -> ModuleMember | ModuleStack:
        return (ModuleStack if len(some) > 1 else ModuleMember)(some, own, rows, device, of)

    ended: dict[int, Any] = {}
    with torch.no_grad():
        for step in train_in_steps(recipes, seeds, data, CPU, family, lambda pack: [[*range(len(pack))]], failure_of):
            ended |= step.ended
    return [ended[index] for index in range(len(recipes))]


def assert_agree(one: Trajectory, other: Trajectory, tolerance: float) -> None:
    """Equal up to a relative tolerance in every series, and in which entries are missing."""
    assert one.taps == other.taps
    assert one.nonfinite_step == other.nonfinite_step
    for name, values in one.series.items():
        far = tolerance * 100 if name in NOISE else tolerance
        np.testing.assert_allclose(other.series[name], values, rtol=far, atol=far, err_msg=name)


KINDS = ("chain", "residual", "Transformer", "Recurrent", "Tied", "WithBuffer", "CountsInPlace")


def program_of(kind: str) -> Program:
    if kind in ("chain", "residual"):
        return program(lambda: getattr(networks, kind)(4, 16))
    return program(built(getattr(stackable, kind)))


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_are_those_of_one_after_another(kind):
    """Every series of twenty steps in float64, with members that differ in all that may differ."""
    of = program_of(kind)
    recipes = [
        recipe(
            precision="float64", steps=20, optimizer="adamw" if kind == "chain" else "sgd", clip=place > 0,
            clip_threshold=0.5, learning_rate=0.02 * (place + 1), weight_scale=1 + 0.1 * place,
            schedule=("constant", "cosine", "inverse_sqrt")[place], warmup_steps=4 * place,
        )
        for place in range(3)
    ]  # fmt: skip
    found = at_once(of, recipes, [3, 4, 5])
    for seed, given, one in zip([3, 4, 5], recipes, found, strict=True):
        assert_agree(trained(of, given, seed), one, 1e-9)


@pytest.mark.parametrize(("precision", "promised"), [("float32", 1e-5), ("float64", 1e-10)])
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_documentation_promises_of_a_stack_holds(kind, precision, promised):
    """Losses and gradients of twenty steps, where gradients neither vanish nor explode."""
    of = program_of(kind)
    given = recipe(precision=precision, steps=20, learning_rate=0.02)
    for seed, one in zip((3, 4, 5), at_once(of, [given] * 3, [3, 4, 5]), strict=True):
        alone = trained(of, given, seed)
        sizes = alone["log10_delta_norm"][0]
        assert abs(sizes[0] - sizes[-1]) < 2
        np.testing.assert_allclose(one["loss"], alone["loss"], rtol=promised)
        np.testing.assert_allclose(one["grad_norm"], alone["grad_norm"], rtol=promised)
        np.testing.assert_allclose(one["log10_delta_norm"], alone["log10_delta_norm"], atol=promised)


def test_arguments_that_are_buffers_may_differ_inside_a_stack():
    of = program(built(stackable.WithBuffer))
    recipes = [recipe(precision="float64", alpha=alpha, traced=("alpha",)) for alpha in (0.5, 1.0, 2.0)]
    found = at_once(of, recipes, [1, 1, 1])
    for given, one in zip(recipes, found, strict=True):
        assert_agree(trained(of, given, 1), one, 1e-9)
    assert found[0].series["loss"][0] != found[2].series["loss"][0]


def test_members_that_diverge_end_alone():
    """The others go on as if nothing had happened, also after the stack was rebuilt without them."""
    rates = [0.05, 1e200, 0.1, 1e250]
    recipes = [recipe(precision="float64", steps=20, learning_rate=rate) for rate in rates]
    of = program(lambda: nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 10)))
    found = at_once(of, recipes, [1, 2, 3, 4])
    assert [one.nonfinite_step is None for one in found] == [True, False, True, False]
    for seed in (1, 3):
        assert_agree(trained(of, recipes[seed - 1], seed), found[seed - 1], 1e-9)


def test_a_stack_keeps_its_members_numbers_when_it_is_rebuilt():
    of = program(built(stackable.WithBuffer))
    recipes = [recipe(precision="float64", steps=3, alpha=alpha, traced=("alpha",)) for alpha in (1.0, 2.0, 3.0)]
    with torch.no_grad():
        training = StackTraining(recipes, [1, 2, 3], DIGITS, CPU, partial(ModuleStack, program=of))
        stack = training.network
        assert isinstance(stack, ModuleStack)
        training.step(0, None)
        before = [stack.layout.section(stack.value, index)[2].clone() for index in range(len(stack.layout.sections))]
        stack.keep([0, 2])
    assert stack.layout.members == 2
    for index, section in enumerate(before):
        torch.testing.assert_close(stack.layout.section(stack.value, index)[1], section, rtol=0, atol=0)
    assert stack.untrained()["alpha"].tolist() == [1, 3]


def test_zero_readouts_are_looked_behind_member_by_member():
    """One member has a zero readout, so that its first gradients vanish; the other one keeps its own."""

    class Readout(networks.Residual):
        def __init__(self, scale: float) -> None:
            super().__init__(3, 16)
            with torch.no_grad():
                self.out.weight.mul_(scale)

    of = program(Readout)
    recipes = [recipe(precision="float64", steps=2, scale=scale, traced=("scale",)) for scale in (0.0, 1.0)]
    found = at_once(of, recipes, [1, 2])
    assert np.isfinite(found[0].series["log10_delta_norm"]).all()
    for seed, (given, one) in enumerate(zip(recipes, found, strict=True), start=1):
        assert_agree(trained(of, given, seed), one, 1e-9)


def test_modules_that_differ_in_more_than_numbers_train_one_by_one():
    """A module whose depth depends on the seed: the stack refuses it, and the results are those of each alone."""

    def build():
        return networks.chain(2 + int(torch.randint(0, 4, ())), 16)

    of, given = program(build), recipe(steps=4)
    with torch.no_grad(), pytest.raises(UnstackableError, match="other parts"):
        ModuleStack([given] * 4, [1, 2, 3, 4], DIGITS, CPU, of)
    found = at_once(of, [given] * 4, [1, 2, 3, 4])
    assert len({len(one.taps) for one in found}) > 1
    for seed, one in enumerate(found, start=1):
        assert_agree(trained(of, given, seed), one, 0)


def test_a_pass_that_fails_on_the_way_is_done_again_one_by_one():
    """A library raises for one member's numbers; the other members' results are as ever, and bit for bit."""

    class Solves(networks.Chain):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            size = stackable.weight_of(self, 1).square().sum()
            matrix = torch.eye(2, dtype=x.dtype) * torch.where(size < 1e6, 1.0, 0.0)
            found: torch.Tensor = super().forward(x) * torch.linalg.inv(matrix)[0, 0]
            return found

    of = program(lambda: Solves(3, 16))
    recipes = [recipe(steps=6, learning_rate=rate, optimizer="adam") for rate in (0.01, 1e9, 0.02)]
    found = at_once(of, recipes, [1, 2, 3])
    for seed, (given, one) in enumerate(zip(recipes, found, strict=True), start=1):
        if seed != 2:
            assert one.nonfinite_step is None
            assert_agree(trained(of, given, seed), one, 0)


def test_a_member_that_cannot_be_built_fails_alone():
    def build(alpha: float) -> nn.Module:
        if alpha > 1:
            raise ValueError("alpha is too large")
        return networks.chain(3, 16)

    def failure_of(error: Exception) -> Failure:
        return Failure(FailureKind.PROGRAM, str(error))

    of = program(build)
    recipes = [recipe(steps=3, alpha=alpha, traced=("alpha",)) for alpha in (0.5, 2.0, 1.0)]
    found = at_once(of, recipes, [1, 2, 3], failure_of=failure_of)
    assert [isinstance(one, Failure) for one in found] == [False, True, False]
    assert "too large" in found[1].detail
    assert_agree(trained(of, recipes[2], 3), found[2], 0)
