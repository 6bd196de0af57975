"""What `gradstab recommend` says, against trainings that were made for the check.

The quadratic's largest stable learning rate is 2 / sharpness, so intervals can be held against the truth. What clipping
saves is counted by training the diverged networks of `clip_rescue` again, with clipping.

    python -m tests.science.recommendations [--seeds 30]
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gradstab.loop.ports import Slot
from gradstab.loop.trial import Trial, trial_seed
from gradstab.record.study_folder import StudyFolder
from gradstab.results.results import Results
from gradstab.results.trial_rows import measured_trials
from gradstab.session.drive import drive
from gradstab.stability.judgement import judge
from gradstab.study.axes import Value
from gradstab.study.file import load_study_file
from gradstab.study.settings import resolve_settings
from gradstab.theory.relative_scale import resolved_recipe
from gradstab.training.work import TrainingWork
from tests.science import quadratic_study
from tests.science.claims import Claim, print_claims
from tests.science.safe_core import FIRST_NUMBER, PACK

QUADRATIC = Path(__file__).with_name("quadratic_study.py")
SEEDS = 30
LEAST_HITS = 0.8  # 24 of 30
TOLERANCE = 0.01  # of gradient descent's own threshold


@dataclass(frozen=True)
class Hit:
    """The largest safe learning rate of one study of a quadratic, as factors of 2 / sharpness."""

    value: float
    low: float
    high: float

    @property
    def holds_truth(self) -> bool:
        return self.low <= 1 <= self.high


def sharpness_of(seed: int) -> float:
    """Between .1 and 10, evenly in log."""
    return 10 ** random.Random(seed).uniform(-1, 1)


def measure_quadratic(seed: int, root: Path, *changes: str) -> Hit:
    """Run the study of one quadratic and ask for its largest safe learning rate."""
    sharpness = sharpness_of(seed)
    overrides = (f"seed={seed}", f"name=quadratic-{seed}", f"model.settings={{sharpness: {sharpness!r}}}", *changes)
    study = load_study_file(QUADRATIC, overrides)
    settings = resolve_settings(study, QUADRATIC.parent, str(root))
    drive(study, settings, source=QUADRATIC, engine="serial", report=False)
    end = Results(StudyFolder.of(settings.results_root(), study.name)).recommend().largest
    assert end is not None
    value, low, high = (
        fallback if found is None else float(found) * sharpness / 2
        for found, fallback in ((end.value, 0.0), (end.low, 0.0), (end.high, math.inf))
    )
    return Hit(value, low, high)


def measured_threshold(sharpness: float, seed: int, steps: int = 1000) -> float:
    """The learning rate at which gradient descent itself stops to fall, by bisection over direct runs."""

    def falls(rate: float) -> bool:
        torch.manual_seed(seed)
        model = quadratic_study.build(sharpness)
        parameters = list(model.parameters())
        rows, targets = quadratic_study.data()
        for _ in range(steps):
            loss = quadratic_study.loss(model(rows), targets).mean()
            with torch.no_grad():
                for parameter, slope in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                    parameter.sub_(rate * slope)
        return bool(loss.detach() < 1)

    low, high = 1 / sharpness, 4 / sharpness
    while high / low > 1 + TOLERANCE / 10:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if falls(middle) else (low, middle)
    return math.sqrt(low * high)


def quadratic_claims(seeds: int, root: Path) -> list[Claim]:
    """Gradient descent's own threshold, and how often the interval holds it."""
    own = [measured_threshold(sharpness_of(seed), seed) * sharpness_of(seed) / 2 for seed in range(3)]
    worst = max(abs(each - 1) for each in own)
    hits = [measure_quadratic(seed, root) for seed in range(seeds)]
    held = sum(hit.holds_truth for hit in hits)
    widths = [hit.high / hit.low if hit.low > 0 else math.inf for hit in hits]
    return [
        Claim(
            "gradient descent on a quadratic falls up to 2 / sharpness (direct runs)",
            f"within {TOLERANCE:.0%}",
            f"off by {worst:.2%} at most",
            len(own),
            "",
            worst <= TOLERANCE,
        ),
        Claim(
            "the 90 % interval of the largest safe learning rate holds 2 / sharpness",
            f"in at least {LEAST_HITS:.0%} of the studies",
            f"{held} of {seeds}",
            seeds,
            f"median width: a factor of {float(np.median(widths)):.2f}",
            held >= LEAST_HITS * seeds,
        ),
    ]


def clip_claims(results: Results) -> list[Claim]:
    """What clipping at the recommended threshold saves, counted in fresh trainings of all networks that diverged."""
    clip = results.recommend().clip
    assert clip is not None
    assert clip.threshold is not None
    assert clip.saved is not None
    assert clip.saved.low is not None
    assert clip.saved.high is not None
    diverged = [
        row.point
        for row, trial in measured_trials(results.rows)
        if trial.judgement.outcome == "diverged" and not row.point["clip"]
    ]
    clipping: dict[str, Value] = {"clip": True, "clip_threshold": clip.threshold}
    stable = _num_stable(results, [{**point, **clipping} for point in diverged])
    return [
        Claim(
            f"{results.study.name}: clipping at {clip.threshold:.3g} saves trainings that diverge without",
            f"{clip.saved.number:.0f} ({clip.saved.low:.0f} to {clip.saved.high:.0f}) of {clip.saved.of}",
            f"{stable} of {len(diverged)}",
            len(diverged),
            "",
            clip.saved.low <= stable <= clip.saved.high,
        )
    ]


def _num_stable(results: Results, points: list[dict[str, Value]]) -> int:
    """How many fresh trainings at these points are stable."""
    study, slot = results.study, Slot("here")
    work = TrainingWork(study.data, study.seed)
    trials = [
        Trial(number, point, resolved_recipe(study, point), trial_seed(study.seed, number))
        for number, point in enumerate(points, FIRST_NUMBER)
    ]
    found = [
        trajectory
        for start in range(0, len(trials), PACK)
        for trajectory in work.run(trials[start : start + PACK], slot)
    ]
    return sum(judge(trajectory, results.criterion).margin > 0 for trajectory in found)


def main() -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="studies of quadratics")
    parser.add_argument("--results", type=Path, help="results folder; finished studies in it are not run again")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="science-") as scratch:
        root = given.results or Path(scratch)
        found = quadratic_claims(given.seeds, root)
        rescue = StudyFolder.of(root, "clip_rescue")
        if rescue.exists():
            torch.set_flush_denormal(True)
            with torch.inference_mode():
                found += clip_claims(Results(rescue))
    print_claims(found)
    return 0 if all(claim.holds for claim in found) else 1


if __name__ == "__main__":
    sys.exit(main())
