"""`python -m tests.zoo.table`: measure every model of the zoo, and write the table of docs/measurements/zoo.md."""

from __future__ import annotations

import importlib.metadata
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from gradstab import probe
from gradstab.errors import UsageError
from gradstab.module_probe import Probe
from gradstab.stability.judgement import phase_of
from gradstab.study.responses.library.gradient_ratio import gradient_ratio
from tests.zoo import cases, published_timm, published_torchvision, published_transformers, test_zoo
from tests.zoo.cases import Case
from tests.zoo.published import Published, truth
from tests.zoo.twin import Profile

PAGE = Path(__file__).parents[2] / "docs" / "measurements" / "zoo.md"
COMMAND = "python -m tests.zoo.table"
LIBRARIES = {
    "torchvision": published_torchvision.CASES,
    "timm": published_timm.CASES,
    "transformers": published_transformers.CASES,
}
HEAD = ["model", "positions", "truth R", "probe R", "largest difference", "verdict"]

_INTRODUCTION = """\
# The probe on models that people use

`gradstab.probe` beside the truth: gradients by plain float64 autograd, one sample's loss at a time, at places written
down by hand (`tests/zoo/`). R is in decades; the difference is the largest at any position, in decades. Models have
random weights and are probed in the mode in which they are trained. Where a model draws random numbers, both average
over the same 16 draws. Where its readout starts at zero, both draw it anew in the same way.
"""


def main() -> None:
    """Measure and write."""
    warnings.simplefilter("ignore")  # the libraries warn of each other
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("torch", *LIBRARIES) if find_spec(name)]
    parts = [_INTRODUCTION, f"Command: `{COMMAND}`, with {', '.join(versions)}, on {time.strftime('%Y-%m-%d')}.\n"]
    for name, published in LIBRARIES.items():
        if find_spec(name):
            parts += [f"## {name}\n", *_table([_published_row(case) for case in published])]
    parts += ["## Written for the tests\n", *_table([_own_row(case) for case in cases.CASES])]
    PAGE.write_text("\n".join(parts))


def _published_row(case: Published) -> list[str]:
    torch.manual_seed(0)
    module = case.build()
    inputs, targets = case.data()
    try:
        found = probe(module, inputs, targets, case.loss)
    except UsageError as refused:
        return _told([case.name, "", "", "", "", f"refused: {str(refused).removeprefix('probe: ')}"])
    return _row(case.name, found, truth(case, module, inputs, targets))


def _own_row(case: Case) -> list[str]:
    torch.manual_seed(3)
    module = case.build()
    inputs, targets = case.data()
    return _row(case.name, probe(module, inputs, targets, case.loss), test_zoo.truth(case, module, inputs, targets))


def _row(name: str, found: Probe, expected_L: Profile) -> list[str]:
    """An infinite logarithm is that of a gradient of exactly zero, on both sides."""
    apart_L = np.abs(np.nan_to_num(found.log10_delta_norm_L) - np.nan_to_num(expected_L))
    ratio, _ = gradient_ratio(expected_L)
    right = found.phase == phase_of(ratio, found.ratio_band)
    verdict = found.verdict or "none"
    return _told(
        [
            name,
            f"{len(found.layers)} {found.series[0].axis}",
            f"{ratio:+.3f}",
            f"{found.gradient_ratio:+.3f}",
            f"{apart_L.max():.0e}",
            verdict if right else f"{verdict}, WRONG",
        ]
    )


def _told(row: list[str]) -> list[str]:
    print("  ".join(row), file=sys.stderr, flush=True)
    return row


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(HEAD)} |"
    yield f"|{'---|' * len(HEAD)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


if __name__ == "__main__":
    main()
