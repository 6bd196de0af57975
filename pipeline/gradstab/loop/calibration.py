"""This machine's measured speed, kept between runs, so that `check` can estimate and first packs fit."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

from gradstab.errors import GradstabError
from gradstab.loop.cost_model import CostModel, Evidence
from gradstab.loop.ports import KINDS, Kind
from gradstab.record.study_folder import make_folder
from gradstab.system.durable import replace_file


def calibration_path() -> Path:
    """The file with the calibration of this machine and of clusters that it drives."""
    from platformdirs import user_cache_path

    return user_cache_path("gradstab") / f"speed-{platform.node()}.json"


def stored_cost_models() -> dict[Kind, CostModel]:
    """The cost models that earlier runs measured, by kind of slot; kinds that none measured are absent."""
    try:
        stored = json.loads(calibration_path().read_text())
        models = {kind: _model(stored[kind]) for kind in KINDS if kind in stored}
    except (OSError, ValueError, TypeError):
        return {}
    return {kind: model for kind, model in models.items() if model.measured}


def stored_cost_model() -> CostModel:
    """The cost model of a CPU slot: measured by earlier runs, or a rough one."""
    return stored_cost_models().get("cpu", CostModel())


def store_cost_models(costs: Mapping[Kind, CostModel]) -> None:
    """Keep measured cost models; a cache that cannot be written is left out without a word."""
    measured = {kind: cost for kind, cost in {**stored_cost_models(), **costs}.items() if cost.measured}
    if not measured:
        return
    path = calibration_path()
    try:
        make_folder(path.parent)
        replace_file(path, json.dumps({kind: _cells(cost) for kind, cost in measured.items()}), durable=False)
    except GradstabError:
        return


def _model(cells: Sequence[tuple[int, str, Sequence[float]]]) -> CostModel:
    found = {(int(width), str(activation)): Evidence(*map(float, sums)) for width, activation, sums in cells}
    return CostModel({cell: evidence for cell, evidence in found.items() if cell[0] > 0 and _is_sound(evidence)})


def _cells(model: CostModel) -> list[tuple[int, str, Sequence[float]]]:
    return [(width, activation, astuple(evidence)) for (width, activation), evidence in model.evidence.items()]


def _is_sound(evidence: Evidence) -> bool:
    return all(math.isfinite(value) and value >= 0 for value in astuple(evidence)) and evidence.m > 0
