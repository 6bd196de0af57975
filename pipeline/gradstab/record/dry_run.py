"""What was found when a few modules of a study were tried before its run; kept in the study's folder.

It says which loss counts as no better than guessing, and what a training costs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gradstab.study.axes import Value
from gradstab.system.durable import replace_file

_FILE = "dry_run.json"


@dataclass(frozen=True)
class TriedModule:
    """One module that was built and trained for a few steps.

    Attributes:
        point: where in the space it stands.
        arguments: what `build` was called with.
        parameters: numbers that are trained.
        taps: where gradients are compared, in order.
        axis: what the taps are: "layers", "blocks", "time steps" and so on.
        build_seconds, step_seconds, probe_seconds: CPU time of building it, of one step, and of one reading.
        seconds: CPU time of a whole training, as these add up.
        num_bytes: by which the process grew.
        together: how many members of this structure are computed at once; 1 where they are computed one by one.
        why: the reason for that, in words.
        speedup: CPU time one by one over that of a pack computed at once; None where it was not measured.
    """

    point: Mapping[str, Value]
    arguments: Mapping[str, Value | None]
    parameters: int
    taps: tuple[str, ...]
    axis: str
    build_seconds: float
    step_seconds: float
    probe_seconds: float
    seconds: float
    num_bytes: int
    together: int = 1
    why: str = ""
    speedup: float | None = None


@dataclass(frozen=True)
class DryRun:
    """All that was tried.

    Attributes:
        digest: of the code that was tried.
        reference_loss: of the best constant prediction; None where it is unknown and no response needs it.
        reference: where that number comes from, in words.
        data_hash, data_shape: of what was trained on; rows, numbers in a row and classes.
        tried: smallest, largest and middle structure.
        warnings: sentences.
    """

    digest: str
    reference_loss: float | None
    reference: str
    data_hash: str
    data_shape: tuple[int, int, int]
    tried: tuple[TriedModule, ...]
    warnings: tuple[str, ...] = ()

    def dump(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def parse(cls, text: str) -> DryRun:
        """What `dump` wrote."""
        found: dict[str, Any] = json.loads(text)
        tried = tuple(TriedModule(**{**one, "taps": tuple(one["taps"])}) for one in found.pop("tried"))
        shape, warnings = tuple(found["data_shape"]), tuple(found["warnings"])
        return cls(**{**found, "tried": tried, "data_shape": shape, "warnings": warnings})


def save_dry_run(folder: Path, found: DryRun) -> None:
    """Keep it in a study's folder."""
    replace_file(folder / _FILE, found.dump(), durable=True)


def read_dry_run(folder: Path) -> DryRun | None:
    """What is kept in a study's folder; None where nothing readable is."""
    try:
        return DryRun.parse((folder / _FILE).read_text())
    except (OSError, ValueError, TypeError, KeyError):
        return None
