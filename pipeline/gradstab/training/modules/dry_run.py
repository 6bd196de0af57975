"""A dry run: builds the smallest, the largest and a middle module of a study, and trains each for a few steps.

Every fault of the user's code and data that shows at once is found here, before the first trial.
"""

from __future__ import annotations

import dataclasses
import math
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from gradstab.errors import UsageError
from gradstab.probing.scaled_weights import scale_weights
from gradstab.probing.trees import tensors
from gradstab.record.dry_run import DryRun, TriedModule
from gradstab.study.axes import Value
from gradstab.study.module_recipe import ModuleRecipe, module_recipe
from gradstab.study.recipe import probe_steps, reads_accuracy
from gradstab.study.responses.registry import RESPONSES
from gradstab.study.study import Study
from gradstab.study.tensor_spec import FromFunction
from gradstab.training.modules.choice import choice_for
from gradstab.training.modules.data import ModuleData
from gradstab.training.modules.member import ModuleMember
from gradstab.training.modules.program import Program
from gradstab.training.modules.stack_memory import most_members
from gradstab.training.reference_losses import fitted_reference

_CPU = torch.device("cpu")
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes; macOS counts bytes, Linux KiB
_STEPS = 3  # of which the fastest counts
_FEW_SECONDS = 10.0  # after which no other module is tried


def dry_run(study: Study, program: Program, data: ModuleData, digest: str) -> DryRun:
    """Try a study's modules.

    Raises:
        UsageError: they cannot be trained or judged; the sentence says why.
    """
    tried: list[TriedModule] = []
    members: list[ModuleMember] = []
    warnings: list[str] = []
    began = time.monotonic()
    reference: tuple[float | None, str] | None = None
    for point in structures(study):
        if tried and time.monotonic() - began > _FEW_SECONDS:
            warnings.append(f"only {len(tried)} of 3 modules were tried, because they are slow")
            break
        recipe = module_recipe(study, point)
        found, member = _tried(recipe, point, program, data)
        tried.append(found)
        members.append(member)
        if reference is None:
            reference = _reference(study, program, data, member)
            if "weight_scale" in study.space.axes:
                warnings += _scale_warnings(member, program)
    assert reference is not None
    tried = _with_choices(tried, members, study, program, data)
    is_function = isinstance(study.data, FromFunction)  # other data is known by its file, or by its name
    content = data.tensors.content_hash() if is_function else ""
    shape = dataclasses.astuple(data.tensors.shape)
    return DryRun(digest, reference[0], reference[1], content, shape, tuple(tried), tuple(warnings))


def structures(study: Study) -> Iterator[dict[str, Value]]:
    """The point with all numbers small, that with all large, and the middle; choices take turns."""
    axes = study.space.axes
    seen = set()
    for place, unit in enumerate((0.0, 1.0, 0.5)):
        point: dict[str, Value] = {}
        for name, axis in axes.items():
            values = axis.extremes()
            point[name] = values[place % len(values)] if axis.is_choice else axis.from_unit(unit)
        if "weight_scale" in point:
            point["weight_scale"] = 1.0
        recipe = module_recipe(study, point)
        key = recipe.structure()
        if key not in seen:
            seen.add(key)
            yield point


def _with_choices(
    tried: Sequence[TriedModule], members: Sequence[ModuleMember], study: Study, program: Program, data: ModuleData
) -> list[TriedModule]:
    """What was tried, each with how its members are computed, as far as there is time to find out."""
    began = time.process_time()
    chosen = []
    for found, member in zip(tried, members, strict=True):
        if time.process_time() - began < _FEW_SECONDS:
            chosen.append(_with_choice(found, study, member, program, data))
        else:
            chosen.append(dataclasses.replace(found, why="there was no time to compare it with a pack"))
    return chosen


def _with_choice(
    found: TriedModule, study: Study, member: ModuleMember, program: Program, data: ModuleData
) -> TriedModule:
    """What was tried, with how members of this structure are computed."""
    axes = study.space.axes
    real = [name for name, axis in axes.items() if not (axis.is_choice or axis.is_whole)]
    own = [name for name in real if name in found.arguments]
    recipe = module_recipe(study, found.point)
    if untraced := [name for name in own if name not in recipe.traced]:
        why = (
            f"no two trials have equal modules, because {untraced[0]} is any real number: if it sets nothing but the "
            f"numbers in weights and buffers, give Model traced=[{untraced[0]!r}]"
        )
        return dataclasses.replace(found, why=why)
    # away from the ends, where numbers may leave their range
    middle = {**found.point, **{name: axes[name].from_unit(0.5) for name in real if name != "weight_scale"}}
    other = {**middle, **{name: axes[name].from_unit(0.4) for name in own}}
    choice = choice_for(module_recipe(study, middle), module_recipe(study, other), data, program, found.step_seconds)
    together = most_members(member, data, recipe) if choice.together else 1
    speedup = None if math.isnan(choice.speedup) else choice.speedup
    why = choice.reason if together > 1 or not choice.together else "two of them take too much memory"
    return dataclasses.replace(found, together=together, why=why, speedup=speedup)


def _tried(
    recipe: ModuleRecipe, point: Mapping[str, Value], program: Program, data: ModuleData
) -> tuple[TriedModule, ModuleMember]:
    before, began = _most_resident(), time.process_time()
    member = ModuleMember([recipe], [0], data, _CPU, program)
    build = time.process_time() - began
    rows = np.arange(min(recipe.batch_size, data.num_rows))[None]
    began = time.process_time()
    loss_n, _ = member.probe(data.probe_rows(recipe.probe_samples)[None])
    probe = time.process_time() - began
    if not math.isfinite(float(loss_n)):
        raise UsageError(f"the loss must be finite before training, got {float(loss_n)} with {_shown(recipe)}")
    if float(loss_n) <= 0:
        raise UsageError(f"the loss must be above 0 before training, got {float(loss_n):.3g} with {_shown(recipe)}")
    steps = []
    for _ in range(_STEPS if recipe.steps else 0):
        began = time.process_time()
        member.loss_and_gradient(rows)
        steps.append(time.process_time() - began)
    step = min(steps, default=0.0)
    readings = probe_steps(recipe)
    accuracies = sum(reads_accuracy(recipe, at) for at in readings)
    share = len(data.accuracy_rows) / recipe.batch_size / 3  # a forward pass is a third of a step
    return (
        TriedModule(
            point=dict(point),
            arguments=dict(recipe.arguments),
            parameters=sum(parameter.numel() for parameter in member.module.parameters() if parameter.requires_grad),
            taps=member.taps,
            axis=member.places.axis,
            build_seconds=build,
            step_seconds=step,
            probe_seconds=probe,
            seconds=build + recipe.steps * step + len(readings) * probe + accuracies * share * step,
            num_bytes=max(0, _most_resident() - before),
        ),
        member,
    )


def _reference(study: Study, program: Program, data: ModuleData, member: ModuleMember) -> tuple[float | None, str]:
    """The loss of the best constant prediction, and where it comes from."""
    assert study.model is not None
    if study.model.reference_loss is not None:
        return study.model.reference_loss, "given by the study"
    fitted = fitted_reference(program.loss, member.outputs_of, data.tensors)
    if fitted is not None:
        return fitted.loss, f"{fitted.name} of the best constant prediction on the training rows"
    needing = [name for name in study.criterion.responses_for(study.least_steps) if RESPONSES[name].needs_training]
    if needing:
        raise UsageError(
            "the loss is neither cross-entropy nor a squared error, so the loss that counts as trained is unknown: "
            "give reference_loss and target_loss to Model, or set criterion.responses to [R]"
        )
    return None, "unknown: trials are judged without it"


def _scale_warnings(member: ModuleMember, program: Program) -> list[str]:
    """What a doubling of the weights does: refused where nothing changes, a warning where no ratio does.

    Raises:
        UsageError: no output changes.
    """
    rows = member.first_rows
    before, norms = member.outputs_of(rows), member.tap_norms()
    scaled = scale_weights(member.module, 2.0, member.places.owners, program.scaled)
    after, doubled = member.outputs_of(rows), member.tap_norms()
    if not scaled or _equal(before, after):
        raise UsageError(
            "weight_scale must change what the modules return, but doubling the weights of "
            f"{', '.join(dict.fromkeys(member.places.owners))} changes no output: name others as scaled="
        )
    change = doubled - norms
    if float((change - change[0]).abs().max()) < 1e-6:
        return ["weight_scale changes no ratio between taps: the modules do not depend on the scale of these weights"]
    return []


def _equal(one: object, other: object) -> bool:
    pairs = zip(tensors(one), tensors(other), strict=True)
    return all(torch.allclose(a.detach(), b.detach(), rtol=1e-9, atol=0) for a, b in pairs)


def _shown(recipe: ModuleRecipe) -> str:
    return ", ".join(f"{name}={value}" for name, value in recipe.arguments.items()) or "no arguments"


def _most_resident() -> int:
    """The most bytes that this process has held in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
