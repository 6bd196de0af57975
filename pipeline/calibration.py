"""This machine's measured speed, kept between runs so that `check` can estimate and packs start at the right size."""

from __future__ import annotations

import json
import platform
from pathlib import Path

from pipeline.durable import replace_file
from pipeline.errors import GradstabError
from pipeline.packing import CostModel
from pipeline.study_folder import make_folder


def calibration_path() -> Path:
    """Where the calibration of this machine is kept."""
    from platformdirs import user_cache_path

    return user_cache_path("gradstab") / f"calibration-{platform.node()}.json"


def stored_cost_model() -> CostModel:
    """The cost model measured by earlier runs, or the rough one."""
    try:
        pairs = json.loads(calibration_path().read_text())
        rates = tuple((int(width), float(rate)) for width, rate in pairs if float(rate) > 0)
    except (OSError, ValueError, TypeError):
        return CostModel()
    return CostModel(rates, measured=True) if rates else CostModel()


def store_cost_model(cost: CostModel) -> None:
    """Keep a measured cost model; a cache that cannot be written is no loss."""
    if not cost.measured:
        return
    path = calibration_path()
    try:
        make_folder(path.parent)
        replace_file(path, json.dumps(cost.gflops), durable=False)
    except GradstabError:
        return
