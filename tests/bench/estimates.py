"""How well `gradstab check` foretells a run: its estimate against the time from first trial to last record."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.accounted import QUICKSTART, AccountedRun, accounted_run
from tests.bench.children import ROOT, environment
from tests.bench.goals import ESTIMATE_ERROR
from tests.bench.measure import Row
from tests.bench.sizes import Sizes
from tests.bench.studies import STUDY_T, write_study
from tests.bench.whole_line import Place

SECTION = "check"


def estimates(place: Place, sizes: Sizes) -> list[Row]:
    """Error of the estimate on three studies, on a machine that has run another study before, as users have it."""
    folder = place.new_folder()
    folder.mkdir()
    files = {
        "T": write_study(STUDY_T, folder / "T.yaml"),
        "quickstart": QUICKSTART,
        "clip_rescue": ROOT / "studies" / "clip_rescue.py",
    }
    accounted_run(place, QUICKSTART, sizes.calibration_trials)
    rows = []
    for name, file in files.items():
        foretold, runs = [], []
        for _ in range(sizes.estimate_rounds):
            foretold.append(_estimate(place, file, sizes.estimate_trials[name]))
            runs.append(accounted_run(place, file, sizes.estimate_trials[name]))
        rows += _rows(name, foretold, runs)
    return rows


def _rows(name: str, foretold: Sequence[float], runs: Sequence[AccountedRun]) -> list[Row]:
    taken = tuple(run.training_seconds for run in runs)
    off = tuple(100 * (guess / truth - 1) for guess, truth in zip(foretold, taken, strict=True))
    note = f"{runs[0].trials} trials, first trial to last record"
    return [
        Row(SECTION, f"{name}: estimate", "s", tuple(foretold)),
        Row(SECTION, f"{name}: run", "s", taken, note=note),
        Row(SECTION, f"{name}: error of the estimate", "%", off, note="above 0: the run took less than foretold"),
        Row(SECTION, f"{name}: size of the error", "%", tuple(map(abs, off)), goal=ESTIMATE_ERROR),
    ]


def _estimate(place: Place, study: Path, trials: int) -> float:
    """Seconds that `gradstab check` expects, from the calibration that the runs before have left."""
    command = [sys.executable, "-m", "gradstab", "check", str(study), "--set", f"budget.trials={trials}"]
    command += ["--format", "json"]
    done = subprocess.run(
        command, cwd=place.caches, env=environment(place.caches), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"gradstab check must end well, got code {done.returncode}: {done.stderr[-500:]}")
    return float(json.loads(done.stdout)["estimate"]["seconds"])
