"""The pictures of a report that MLflow shows: under which keys the study's own run holds them, and their shapes."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradstab.display.numbers import setting_text
from gradstab.study.axes import Value

PHASE_DIAGRAM = "phase_diagram"
DEPTH_PROFILES = "depth_profiles"
_PNG_SIZE = struct.Struct(">16xII")  # signature, length and name of the first chunk, then width and height


@dataclass(frozen=True)
class ReportPicture:
    """One picture of a report.

    Attributes:
        shape: its height over its width.
    """

    path: Path
    shape: float


def image_path(key: str, stem: str) -> str:
    """The artifact that holds an image, where MLflow's own log_image puts it."""
    return f"images/{key.replace('/', '~')}+step+0+timestamp+0+{stem}.png"


def map_key(choice: Value) -> str:
    """The key of the phase diagram of one choice."""
    return f"{PHASE_DIAGRAM}/{re.sub(r'[^A-Za-z0-9_.-]', '_', setting_text(choice))}"


def phase_diagram_name(region: Mapping[str, Any]) -> str:
    """File name of the phase diagram under the study's criterion."""
    main = next(iter(region["regions"]))
    return f"phase_{main.replace(' and ', '_and_')}.png"


def report_pictures(folder: Path) -> dict[str, ReportPicture]:
    """The pictures in a folder of a report by key: those that are there, and can be read."""
    try:
        region = json.loads((folder / "region.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    names = {PHASE_DIAGRAM: phase_diagram_name(region), DEPTH_PROFILES: "depth_profiles.png"}
    for each in region.get("maps", []):
        held = [*each["held"].values()]
        names[map_key(held[0]) if held else PHASE_DIAGRAM] = each["file"]
    found = {}
    for key, name in names.items():
        shape = _shape(folder / name)
        if shape is not None:
            found[key] = ReportPicture(folder / name, shape)
    return found


def _shape(path: Path) -> float | None:
    try:
        with path.open("rb") as file:
            width, height = _PNG_SIZE.unpack(file.read(_PNG_SIZE.size))
    except (OSError, struct.error):
        return None
    return float(height / width) if width else None
