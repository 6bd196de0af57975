"""Faults of a study of modules between its model and its other sections, as sentences."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping
from typing import Any

from gradstab.families.registry import FAMILIES
from gradstab.study.did_you_mean import nearest
from gradstab.study.model_spec import ModelSpec
from gradstab.study.module_recipe import takes
from gradstab.study.recipe import BUILDABLE, FULLY_CONNECTED, OF_MODULES, Recipe, fields_with
from gradstab.study.space import SearchSpace
from gradstab.study.wording import plain

GROUP = "gradstab.models"  # entry points of installed packages


def subject_faults(sound: Mapping[str, Any]) -> Iterator[str]:
    """Faults between the model of a study, or its absence, and the sections that are sound by themselves."""
    model: ModelSpec | None = sound.get("model")
    space: SearchSpace | None = sound.get("space")
    recipe: Recipe | None = sound.get("recipe")
    given = [*(space.names() if space else ()), *(recipe.model_fields_set if recipe else ())]
    if model is None:
        for name in fields_with(OF_MODULES):
            if name in given:
                yield f"{name} belongs to studies of modules, and this study has no model: use init_scale"
        if "data" in sound and sound["data"].for_modules:
            yield (
                f"data of type {sound['data'].type} belongs to studies of modules, and this study has no model: "
                "give model=Model(build, loss=loss), or other data"
            )
        return
    yield from _name_faults(model)
    for name in fields_with(FULLY_CONNECTED):
        if name in given:
            yield (
                f"{name} means nothing for a module, which build initialises: use weight_scale, or an argument of build"
            )
    yield from _argument_faults(model, set(given), space)


def build_arguments(model: ModelSpec) -> tuple[str, ...]:
    """Names that an axis of a study of this model may have beside the recipe's fields; empty if they are not known."""
    return model.parameters or ()


def _name_faults(model: ModelSpec) -> Iterator[str]:
    known = (*FAMILIES, *(entry.name for entry in importlib.metadata.entry_points(group=GROUP)))
    for field, name in (("build", model.build), ("loss", model.loss)):
        if name is not None and ":" not in name and (field == "loss" or name not in known):
            kind = f"a family ({', '.join(known)}) or " if field == "build" else ""
            yield f"model.{field} must be {kind}a function of a file, got {name!r}{nearest(name, known)}"
    if model.loss is None and model.build not in FAMILIES and ":" in model.build:
        yield "model.loss must be given: a function (outputs, targets) -> (B,) that returns the loss of each sample"


def _argument_faults(model: ModelSpec, given: set[str], space: SearchSpace | None) -> Iterator[str]:
    training = [name for name in Recipe.model_fields if name not in fields_with(BUILDABLE)]
    for name in model.parameters or ():
        if name in (*training, "seed"):
            yield f"model.build must not take {name}, which is a setting of the training: call its argument otherwise"
    for name in model.settings:
        if not takes(model.parameters, name):
            yield f"model.settings.{plain(name)} must be an argument of build{_nearest(name, model)}"
        if name in given:
            yield f"{name} must be given once, but model.settings and the space or the recipe give it"
    for name in fields_with(BUILDABLE):
        if name in given and not takes(model.parameters, name):
            yield f"build does not take {name}: remove it, or let build have an argument of this name"
    axes = space.names() if space else ()
    missing = [name for name in model.required if name not in {*given, *model.settings, *axes}]
    if missing:
        yield f"build needs {', '.join(missing)}: give it as an axis, in the recipe, or in model.settings"
    for name in model.traced:
        if not takes(model.parameters, name):
            yield f"model.traced must name arguments of build, got {name!r}{_nearest(name, model)}"


def _nearest(name: str, model: ModelSpec) -> str:
    known = ", ".join(model.parameters or ())
    return nearest(name, model.parameters or ()) or f"; build takes {known or 'none'}"
