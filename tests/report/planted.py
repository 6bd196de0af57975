"""Studies whose region is known: R of deep ReLU networks and a training response that falls with depth, recorded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from gradstab import Study
from gradstab.record.segments import write_segment
from gradstab.record.study_folder import StudyFolder, make_folder
from gradstab.study.axes import Choice, LogInteger, LogReal, Value
from tests.fakes import REFERENCE_LOSS, make_record

LAST_TRAINABLE = 12.0  # layers, of tanh half as many
SPACE = {"init_scale": LogReal(0.5, 4.0), "depth": LogInteger(2, 30), "activation": Choice(("relu", "tanh"))}
PACK = 100


def ratio(point: dict[str, Value]) -> float:
    """R in decades, the same for both activations."""
    return (int(point["depth"]) - 1) * math.log10(float(point["init_scale"]) / math.sqrt(2))


def training(point: dict[str, Value]) -> float:
    """T."""
    last = LAST_TRAINABLE if point["activation"] == "relu" else LAST_TRAINABLE / 2
    return 1.5 * math.log10(int(point["depth"]) / last)


def plant(root: Path, *, trials: int = 200, noise: float = 0.05, name: str = "planted", **fields: Any) -> StudyFolder:
    """A study's folder with trials spread evenly, `noise` being the seed-to-seed spread of R and T."""
    study = Study.model_validate(
        {"name": name, "question": "Where?", "space": SPACE, "budget": {"trials": max(1, trials)}, **fields}
    )
    folder = StudyFolder.of(root, name)
    make_folder(folder.path)
    folder.claim(study, None)
    rng = np.random.default_rng(0)
    axes = study.space.names()
    records = []
    for number in range(trials):
        point = study.space.point_from_unit(dict(zip(axes, rng.random(len(axes)).tolist(), strict=True)))
        known = {"init_scale": study.recipe.init_scale, "depth": study.recipe.depth, "activation": "relu", **point}
        layers = max(1, int(known["depth"]) - 1)
        wanted = ratio(known) + noise * rng.standard_normal()
        response = training(known) + noise * rng.standard_normal()
        loss = 0.5 * REFERENCE_LOSS * 10**response
        records.append(make_record(number, point=point, decades_per_layer=wanted / layers, final_loss=loss))
    for index, start in enumerate(range(0, trials, PACK)):
        write_segment(folder.path, index, records[start : start + PACK])
    return folder


def true_volume(folder: StudyFolder, *responses: str, ratio_band: float = 1.0) -> float:
    """The fraction of the search space in band, by counting 20,000 random points."""
    space = folder.study().space
    unit_MD = np.random.default_rng(1).random((20_000, len(space)))
    inside = 0
    for row in unit_MD.tolist():
        point = space.point_from_unit(dict(zip(space.names(), row, strict=True)))
        stable = abs(ratio(point)) < ratio_band or "R" not in responses
        inside += stable and (training(point) < 0 or "T" not in responses)
    return inside / len(unit_MD)
