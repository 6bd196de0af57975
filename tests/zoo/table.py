"""`python -m tests.zoo.table [SECTION ...]`: measure the zoo, and write the tables of docs/measurements/zoo.md.

A section is torchvision, timm, transformers or own; without one, all are measured. Others stay as they are.
"""

from __future__ import annotations

import importlib.metadata
import re
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
OWN = "own"
_MARK = "<!-- {} -->"
_SECTION = r"<!-- (\w+) -->.*?(?=<!-- |\Z)"
HEAD = ["model", "positions", "truth R", "probe R", "largest difference", "verdict"]

_INTRODUCTION = """\
# The probe on models that people use

`gradstab.probe` beside the truth: gradients by plain float64 autograd, one sample's loss at a time, at places written
down by hand (`tests/zoo/`). R is in decades; the difference is the largest at any position, in decades. Models have
random weights and are probed in the mode in which they are trained. Where a model draws random numbers, both average
over the same 16 draws. Where its readout starts at zero, both draw it anew in the same way. Each model was measured
once, on a CPU, with 4 samples (6 in the last table).
"""


def main(chosen: Sequence[str]) -> None:
    """Measure the sections chosen, each written when it is done."""
    warnings.simplefilter("ignore")  # the libraries warn of each other
    for name in chosen or (*LIBRARIES, OWN):
        if name == OWN:
            _write(name, "Written for the tests", [_own_row(case) for case in cases.CASES])
        elif find_spec(name):
            shown = f"{name} {importlib.metadata.version(name)}"
            _write(name, shown, [_published_row(case) for case in LIBRARIES[name]])


def _write(name: str, title: str, rows: Sequence[Sequence[str]]) -> None:
    """Put a section into the page, behind a mark that finds it again."""
    page = PAGE.read_text() if PAGE.exists() else _INTRODUCTION
    kept = {found[1]: found[0] for found in re.finditer(_SECTION, page, re.DOTALL)}
    measured = f"Measured with torch {torch.__version__} on {time.strftime('%Y-%m-%d')}: `{COMMAND} {name}`\n"
    kept[name] = "\n".join([_MARK.format(name), f"## {title}\n", measured, *_table(rows)])
    order = [one for one in (*LIBRARIES, OWN) if one in kept]
    PAGE.write_text("\n".join([_INTRODUCTION, *(kept[one].rstrip() + "\n" for one in order)]))


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
    main(sys.argv[1:])
