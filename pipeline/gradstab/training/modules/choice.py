"""Which way members of one structure are computed: all at once under `torch.func.vmap`, or one after another.

All at once is taken only where two members, tried both ways, give equal numbers, and where a pack of them is faster.
"""

from __future__ import annotations

import math
import re
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from gradstab.probing.randomness import generator_states, held_generators
from gradstab.study.module_recipe import ModuleRecipe
from gradstab.training.modules.alike import state
from gradstab.training.modules.data import ModuleData
from gradstab.training.modules.member import ModuleMember, buffers_kept
from gradstab.training.modules.program import Program, seeded
from gradstab.training.modules.stack import ModuleStack
from gradstab.training.modules.tap_statistics import OF_A_PASS
from gradstab.training.probes import LayerValues
from gradstab.training.trainer import Family, MakeFamily, StackTraining, UnstackableError
from gradstab.user_code.failures import one_line

TOLERANCE = 1e-10  # relative, in float64
LEAST_SPEEDUP = 1.1
_ROUNDING = 1e-4  # part of the whole gradient below which a part of it is what rounding left of zero
_PACK = 8  # members in the comparison of speed
_ROUNDS = 3  # of it, alternately
_ROUND_SECONDS = 0.03  # CPU time of one way in a round, at least
_LONGEST_STEP = 0.1  # seconds of one member's step above which nothing can be gained
# how members step while they are compared: as far for any gradient
_GENTLE = {
    "precision": "float64", "optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "learning_rate": 0.01,
    "schedule": "constant", "warmup_steps": 0,
    "clip": True, "clip_mode": "norm", "clip_threshold": 1.0, "steps": 2, "probe_every": 1,
}  # fmt: skip
_CPU = torch.device("cpu")

_NAMED = (
    (r"batching rule .*?(aten::\w+)", "torch has no rule to run {} for several members at once"),
    (r"calling \.item\(\)", "a number is read out of a tensor (.item(), int() or float())"),
    (r"data-dependent control flow", "which way it goes depends on the numbers in a tensor (if, while, bool())"),
    (r"in-?place|doesn't match the broadcast shape", "a tensor that members share is written to in place"),
    (r"autograd\.Function|setup_context|vmap staticmethod", "a torch.autograd.Function of its own has no vmap rule"),
    (r"dynamic shape|data-dependent|unsupported output shape", "a shape depends on the numbers in a tensor"),
    (r"random operation|randomness", "it draws random numbers while it trains"),
)


@dataclass(frozen=True)
class Choice:
    """How members of a structure are computed.

    Attributes:
        together: whether all at once.
        reason: why, in words.
        speedup: CPU time of eight members one after another over that of all at once; NaN where it was not measured.
    """

    together: bool
    reason: str
    speedup: float = math.nan


def choice_for(
    recipe: ModuleRecipe, other: ModuleRecipe, data: ModuleData, program: Program, step_seconds: float
) -> Choice:
    """Try two members both ways, and the speed.

    Args:
        recipe: of a member.
        other: of another one, with other values of the arguments that are traced.
        step_seconds: CPU time of one member's step.
    """
    if recipe.steps == 0:
        return Choice(False, "nothing is trained")
    if step_seconds > _LONGEST_STEP:
        return Choice(False, f"one step takes {step_seconds:.2g} s, which leaves nothing to gain")
    reason = why_one_by_one([recipe, other], data, program)
    if reason is not None:
        return Choice(False, reason)
    speedup = _speedup(recipe, data, program, step_seconds)
    only = "" if speedup > LEAST_SPEEDUP else "only "
    told = f"a pack of {_PACK} is {only}{speedup:.2g} times as fast as one after another"
    return Choice(speedup > LEAST_SPEEDUP, told, speedup)


def why_one_by_one(recipes: Sequence[ModuleRecipe], data: ModuleData, program: Program) -> str | None:
    """Why two members cannot be computed at once, in words; None where the numbers are equal."""
    pair = [recipe.model_copy(update=_GENTLE) for recipe in recipes]
    alone = [_training([one], [seed], data, partial(ModuleMember, program=program)) for seed, one in enumerate(pair)]
    members = [one.network for one in alone]
    first = members[0]
    assert isinstance(first, ModuleMember)
    if first.places.mixes:
        return "samples depend on each other, as under batch normalisation"
    if first.places.places(first.module) is None:
        return f"its taps are {first.places.axis} that no hook on a module reaches"
    if _draws(first, data, program):
        return "it draws random numbers while it trains, as dropout does"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            told = _difference(alone, _training(pair, range(2), data, partial(ModuleStack, program=program)), data)
        except UnstackableError as error:
            return _in_words(error)
    slow = [str(one.message) for one in caught if "batching rule" in str(one.message)]
    return _in_words(UnstackableError(slow[0])) if slow else told


def _training(
    recipes: Sequence[ModuleRecipe],
    seeds: Sequence[int],
    data: ModuleData,
    family: MakeFamily,
) -> StackTraining:
    return StackTraining(recipes, seeds, data, _CPU, family)


def _draws(member: ModuleMember, data: ModuleData, program: Program) -> bool:
    """Whether a pass draws random numbers."""
    inputs, targets = data.batch(member.first_rows, member.value.dtype, _CPU)
    own = held_generators(member.module)
    with seeded(member.module, 0), buffers_kept(member.module):
        before = generator_states(own)
        with torch.inference_mode(False), torch.enable_grad():
            _, losses = program.losses(member.module, inputs, targets, len(member.first_rows))
            weights = [parameter for parameter in member.module.parameters() if parameter.requires_grad]
            torch.autograd.grad(losses.mean(), weights, allow_unused=True)  # checkpoints compute again
        return generator_states(own) != before


def _difference(alone: Sequence[StackTraining], together: StackTraining, data: ModuleData) -> str | None:
    """What differs between members one by one and the stack of them, before and after two optimizer steps."""
    stack = together.network
    assert isinstance(stack, ModuleStack)
    rows = data.probe_rows(together.recipe.probe_samples)
    rows_nB = np.stack([rows, rows[::-1]])
    kept = state(stack.module)
    for step in range(3):
        loss_n, values = stack.probe(rows_nB)
        for place, training in enumerate(alone):
            member = training.network
            own_loss, own_values = member.probe(rows_nB[place : place + 1])
            if told := (
                _far("losses", loss_n[place], own_loss[0])
                or _other_values(values, own_values, place)
                or _far_parts("gradients", together, training, place, lambda network: network.grad)
                or _far_parts("parameters", together, training, place, lambda network: network.value)
                or _other_buffers(stack, member, place)
            ):
                return told
        if step < 2:
            for training in (*alone, together):
                training.step(step, None)
    changed = [name for name, value in state(stack.module).items() if kept.get(name, ...) != value]
    return f"a forward pass assigns to self: {changed[0].strip('.')}" if changed else None


def _other_values(together: LayerValues, alone: LayerValues, place: int) -> str | None:
    for name in OF_A_PASS:
        one, other = together[name][:, place], alone[name][:, 0]
        if not torch.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
            return f"{name} at its taps differs by {_most(one - other):.0e} from that of one after another"
    return None


def _other_buffers(stack: ModuleStack, member: object, place: int) -> str | None:
    assert isinstance(member, ModuleMember)
    own = dict(member.module.named_buffers())
    for name, held in stack.untrained().items():
        if name in own and not torch.allclose(held[place], own[name], rtol=TOLERANCE, atol=0, equal_nan=True):
            return f"the buffer {name} is not kept up to date under vmap: write into it in place"
    return None


def _far_parts(
    what: str, together: StackTraining, alone: StackTraining, place: int, flat: Callable[[Family], Tensor]
) -> str | None:
    """How far sections of a flat buffer are apart, if they are."""
    one, other = together.network, alone.network
    whole = float(torch.linalg.vector_norm(flat(other)))
    for index in range(len(other.layout.sections)):
        own = other.layout.section(flat(other), index)[0]
        apart = float(torch.linalg.vector_norm(one.layout.section(flat(one), index)[place] - own))
        size = max(float(torch.linalg.vector_norm(own)), _ROUNDING * whole)
        if not apart <= TOLERANCE * size and math.isfinite(size):
            return f"{what} differ by {apart / size:.0e} from those of one after another"
    return None


def _far(what: str, one: Tensor, other: Tensor) -> str | None:
    if torch.allclose(one, other, rtol=TOLERANCE, atol=0, equal_nan=True):
        return None
    return f"{what} differ by {_most(one / other - 1):.0e} from those of one after another"


def _most(difference: Tensor) -> float:
    return float(difference.abs().nan_to_num(nan=math.inf).max())


def _speedup(recipe: ModuleRecipe, data: ModuleData, program: Program, step_seconds: float) -> float:
    """CPU time of steps of eight members one after another over that of all at once, the median of several rounds."""
    steps = max(1, math.ceil(_ROUND_SECONDS / (_PACK * max(step_seconds, 1e-6))))
    pack = [recipe.model_copy(update={"learning_rate": 1e-4, "steps": (_ROUNDS + 1) * steps})] * _PACK
    alone = [_training([one], [seed], data, partial(ModuleMember, program=program)) for seed, one in enumerate(pack)]
    together = _training(pack, range(_PACK), data, partial(ModuleStack, program=program))
    ratios = []
    for _ in range(_ROUNDS + 1):
        one_by_one, all_at_once = _seconds(alone, steps), _seconds([together], steps)
        ratios.append(one_by_one / max(all_at_once, 1e-9))
    return statistics.median(ratios[1:])  # the first one warms up


def _seconds(trainings: Sequence[StackTraining], steps: int) -> float:
    began = time.process_time()
    for _ in range(steps):
        for training in trainings:
            training.step(1, None)
    return time.process_time() - began


def _in_words(error: UnstackableError) -> str:
    said = str(error)
    for pattern, words in _NAMED:
        found = re.search(pattern, said, re.IGNORECASE | re.DOTALL)
        if found:
            return words.format(*(group for group in found.groups() if group))
    return f"under vmap it fails: {one_line(error.__cause__)}" if error.__cause__ else said
