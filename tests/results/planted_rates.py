"""A study whose largest stable learning rate, gradient norms and effect of clipping are known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gradstab import Study
from gradstab.record.segments import Record, write_segment
from gradstab.record.study_folder import StudyFolder, make_folder
from gradstab.study.axes import Choice, LogInteger, LogReal, Value
from tests.fakes import REFERENCE_LOSS, make_record

RATES = {"learning_rate": LogReal(1e-3, 10.0), "depth": LogInteger(2, 32), "activation": Choice(("relu", "tanh"))}
CLIPS = {"learning_rate": LogReal(1e-3, 10.0), "clip": Choice((False, True)), "clip_threshold": LogReal(0.1, 100.0)}
PER_DEPTH = -0.8  # decades of the largest rate per decade of depth
TANH = 0.4  # its largest rate over that of relu
STEEPNESS = 2.4  # of T in the rate, decades per decade
NOISE = 0.06  # of T from seed to seed
GAIN = 10.0  # by which clipping raises the largest rate
NORMS = (0.0, 0.5)  # mean and standard deviation of the natural logarithm of a gradient norm


def largest_rate(point: dict[str, Value]) -> float:
    """Where the median of T passes 0."""
    factor = TANH if point.get("activation") == "tanh" else 1.0
    factor *= GAIN if point.get("clip") else 1.0
    return float(0.5 * factor * (float(point.get("depth", 8)) / 8) ** PER_DEPTH)


def largest_safe_rate(point: dict[str, Value]) -> float:
    """Where 95 % of trainings still succeed."""
    return largest_rate(point) * 10 ** (-1.6449 * NOISE / STEEPNESS)


def plant_rates(root: Path, *, trials: int = 300, name: str = "rates", **fields: Any) -> StudyFolder:
    """The study's folder with trials spread evenly."""
    given = {"name": name, "question": "How fast?", "space": RATES, "budget": {"trials": trials}}
    given |= {"recipe": {"steps": 40}, "criterion": {"responses": ["T"]}, **fields}
    study = Study.model_validate(given)
    rng = np.random.default_rng(0)
    axes = study.space.names()
    points = [
        study.space.point_from_unit(dict(zip(axes, rng.random(len(axes)).tolist(), strict=True))) for _ in range(trials)
    ]
    return plant_points(root, study, points)


def plant_points(root: Path, study: Study, points: list[dict[str, Value]]) -> StudyFolder:
    """A study's folder with one trial at each point."""
    folder = StudyFolder.of(root, study.name)
    make_folder(folder.path)
    folder.claim(study, None)
    rng = np.random.default_rng(1)
    write_segment(folder.path, 0, [_record(study, number, point, rng) for number, point in enumerate(points)])
    return folder


def _record(study: Study, number: int, point: dict[str, Value], rng: np.random.Generator) -> Record:
    response = STEEPNESS * math.log10(float(point["learning_rate"]) / largest_rate(point))
    response = max(-2.9, response + NOISE * rng.standard_normal())
    loss = 0.5 * REFERENCE_LOSS * 10 ** min(response, 1.9)
    diverged: dict[str, Any] = {"nonfinite_step": 30} if response > 0.6 and not point.get("clip") else {}
    record = make_record(number, point=point, final_loss=loss, **diverged)
    recipe = study.recipe.at(point)
    found = make_record(number, point=recipe.model_dump(), final_loss=loss, **diverged).trajectory
    assert found is not None
    series = dict(found.series)
    norm_S = np.exp(rng.normal(*NORMS, found.steps))
    series["grad_norm"] = np.where(np.isfinite(series["grad_norm"]), norm_S, series["grad_norm"])
    threshold = recipe.clip_threshold if recipe.clip else math.inf
    series["clip_factor"] = np.minimum(1.0, threshold / norm_S)
    series["loss"] = np.where(np.isfinite(series["loss"]), loss, series["loss"])
    return replace(record, recipe=recipe.model_dump(), trajectory=replace(found, series=series))
