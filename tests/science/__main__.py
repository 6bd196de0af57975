"""`make science`: every claim of theory that trials can show, measured now: one table, and exit code 1 if a claim is missed."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch

from gradstab.commands.terminal import say
from gradstab.display.numbers import duration_text
from gradstab.results.results import Results
from gradstab.session.drive import run_study
from gradstab.study.file import load_study_file
from tests.science import clipping, critical_lines, layer_gain, recommendations, safe_core, trainable_depth
from tests.science.claims import print_claims

STUDIES = Path(__file__).parent.parent.parent / "studies"
TRAINED = ("quickstart", "trainable_depth", "clip_rescue", "relu_or_sigmoid")
# what the claims need is in the results; thousands of runs in MLflow would only take time
QUIETLY = ("tracking.child_runs=0",)


def main() -> int:
    """Measure and judge everything."""
    parser = argparse.ArgumentParser(prog="make science", description=__doc__)
    parser.add_argument("--results", help="results folder to keep, whose finished studies are not run again")
    given = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="science-") as scratch:
        root = given.results or scratch
        found = [
            *critical_lines.claims(_measured("critical_lines", root), _measured("gelu_jump", root)),
            *trainable_depth.claims(_measured("trainable_depth", root)),
            *(safe_core.claim(_measured(name, root)) for name in TRAINED),
            *recommendations.quadratic_claims(recommendations.SEEDS, Path(root)),
        ]
        rescue = _measured("clip_rescue", root)
        with torch.inference_mode():
            found += recommendations.clip_claims(rescue)
    torch.set_flush_denormal(True)
    with torch.inference_mode():
        found += [*clipping.claims(), *layer_gain.claims()]
    print_claims(found)
    say(f"measured in {duration_text(time.monotonic() - begun)}")
    return 0 if all(claim.holds for claim in found) else 1


def _measured(name: str, root: str) -> Results:
    """The results of a study, run if it has not been."""
    study = load_study_file(STUDIES / f"{name}.py", QUIETLY)
    say(f"{name}: {study.question}")
    return run_study(study, results=root)


if __name__ == "__main__":
    sys.exit(main())
