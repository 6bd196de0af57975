"""This machine's measured speed, kept between runs, so that `check` can estimate and first packs fit."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from gradstab.errors import GradstabError
from gradstab.loop.packing import CostModel
from gradstab.loop.ports import KINDS, Kind
from gradstab.record.study_folder import make_folder
from gradstab.system.durable import replace_file


def calibration_path() -> Path:
    """The file with the calibration of this machine and of clusters that it drives."""
    from platformdirs import user_cache_path

    return user_cache_path("gradstab") / f"calibration-{platform.node()}.json"


def stored_cost_models() -> dict[Kind, CostModel]:
    """The cost models that earlier runs measured, by kind of slot; kinds that none measured are absent."""
    try:
        stored = json.loads(calibration_path().read_text())
        by_kind = stored if isinstance(stored, dict) else {"cpu": stored}
        models = {kind: _model(by_kind[kind]) for kind in KINDS if kind in by_kind}
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
        replace_file(path, json.dumps({kind: cost.gflops for kind, cost in measured.items()}), durable=False)
    except GradstabError:
        return


def _model(pairs: Sequence[Sequence[float]]) -> CostModel:
    rates = tuple((int(width), float(rate)) for width, rate in pairs if float(rate) > 0)
    return CostModel(rates, measured=True) if rates else CostModel()
