"""The studies that every program runs, and points spread evenly over their spaces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from gradstab.loop.trial import Trial, trial_seed
from gradstab.study.axes import Choice, Integer, LogReal, Value
from gradstab.study.data_spec import AnyData, Digits
from gradstab.study.model_spec import Model
from gradstab.study.pack_key import DataShape
from gradstab.study.recipe import Recipe
from gradstab.study.shipped_data import DigitImages, DigitRows, TextBytes
from gradstab.study.study import Study
from gradstab.theory.relative_scale import resolved_recipe

STUDY_T = Study(
    name="T",
    question="Study T: networks of 2 to 30 linear layers on digits, as the peer trains them.",
    space={
        "depth": Integer(1, 29),
        "init_scale": LogReal(0.5, 4),
        "activation": Choice(("tanh", "relu", "sigmoid")),
        "clip_threshold": LogReal(0.01, 100),
    },
    recipe={
        "width": 64,
        "batch_size": 64,
        "steps": 100,
        "learning_rate": 0.05,
        "clip": True,
        "probe_every": 10,
        "accuracy_every": 100,  # at start and end: the peer reads none, and what more costs is a row of its own
    },
    budget={"trials": 400},
)
SECOND = Study(
    name="second",
    question="A study that no code knows of: an odd width, other activations, Adam, deeper.",
    space={
        "depth": Integer(3, 60),
        "init_scale": LogReal(0.5, 4),
        "activation": Choice(("gelu", "selu")),
        "clip_threshold": LogReal(0.01, 100),
    },
    recipe={
        "width": 100,
        "batch_size": 64,
        "steps": 100,
        "learning_rate": 0.001,
        "optimizer": "adam",
        "clip": True,
        "probe_every": 10,
        "accuracy_every": 100,
    },
    budget={"trials": 120},
)


def _of_family(name: str, data: AnyData, settings: dict[str, Value], **recipe: object) -> Study:
    """One structure of a family that ships, so that packs are as large as the family allows."""
    return Study(
        name=f"module-{name}",
        question=f"Networks of the family {name}, as the peer trains them.",
        model=Model(name, settings=settings, target_loss=1.0),
        data=data,
        space={"weight_scale": LogReal(0.5, 2), "clip_threshold": LogReal(0.1, 10)},
        recipe={"learning_rate": 0.003, "optimizer": "adam", "clip": True, "steps": 100, "probe_every": 10}
        | {"accuracy_every": 100, **recipe},
        budget={"trials": 100},
    )


OF_MODULES = {
    study.name: study
    for study in (
        _of_family("mlp", Digits(), {}, depth=8, width=64, batch_size=64),
        _of_family("residual", Digits(), {"norm": "layer"}, depth=8, width=64, batch_size=64),
        _of_family("transformer", TextBytes(context=32), {"context": 32}, depth=4, width=32, batch_size=16),
        _of_family("conv", DigitImages(), {}, depth=6, width=16, batch_size=32),
        _of_family("rnn", DigitRows(), {"cell": "vanilla"}, width=64, batch_size=64),
    )
}
STUDIES = {study.name: study for study in (STUDY_T, SECOND, *OF_MODULES.values())}


def builder_of(study: Study) -> str:
    """The family whose networks a study trains."""
    assert study.model is not None
    return study.model.build


_GOLDEN = (
    0.6180339887,
    0.7548776662,
    0.8191725134,
    0.8566748838,
)  # additive recurrences whose fractions fill the interval evenly


def changed(study: Study, trials: int | None = None, **recipe: object) -> Study:
    """The study with another budget and other settings of the recipe."""
    tree = study.dump()
    tree["recipe"].update(recipe)
    if trials is not None:
        tree["budget"]["trials"] = trials
    return Study.model_validate(tree)


def write_study(study: Study, path: Path, **sections: dict[str, Any]) -> Path:
    """The study as a file for `gradstab run`, whole sections updated."""
    tree = study.dump()
    for name, fields in sections.items():
        tree[name].update(fields)
    path.write_text(yaml.safe_dump(tree))
    return path


def spread_points(study: Study, count: int) -> list[dict[str, Value]]:
    """`count` points whose depths are evenly spaced over the axis and whose choices take turns: any count costs alike."""
    steps = dict(zip(study.space.names(), _GOLDEN, strict=False))

    def unit(name: str, index: int) -> float:
        axis = study.space.axes[name]
        if name == "depth":
            return (index + 0.5) / count
        if isinstance(axis, Choice):
            return (index % len(axis.choices) + 0.5) / len(axis.choices)
        return (0.5 + index * steps[name]) % 1.0

    return [study.space.point_from_unit({name: unit(name, i) for name in study.space.names()}) for i in range(count)]


def trials_of(study: Study, points: Sequence[dict[str, Value]]) -> list[Trial]:
    """The points as trials, numbered from 0."""
    return [Trial(n, point, resolved_recipe(study, point), trial_seed(study.seed, n)) for n, point in enumerate(points)]


def num_true_parameters(recipe: Recipe, shape: DataShape) -> int:
    """Weights and biases of one network, without any padding."""
    sizes = [shape.num_features, *[recipe.width] * recipe.depth, shape.num_classes]
    return sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(sizes))


def true_flops(recipe: Recipe, shape: DataShape) -> float:
    """Operations of the matrix products of one training, nothing else counted: no padding, probes or accuracy.

    Forward, gradient by weights, and gradient by inputs for all layers but the first.
    """
    first = shape.num_features * recipe.width
    others = (recipe.depth - 1) * recipe.width**2 + recipe.width * shape.num_classes
    return 2.0 * recipe.batch_size * recipe.steps * (2 * first + 3 * others)
