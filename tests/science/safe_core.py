"""Fresh trainings inside the safe core {p_next > .95} of a finished study: what was promised against what comes.

python -m tests.science.safe_core STUDY_FOLDER ...
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gradstab.loop.ports import Slot
from gradstab.loop.trial import Trial, trial_seed
from gradstab.record.study_folder import StudyFolder
from gradstab.results.results import Results
from gradstab.stability.judgement import judge
from gradstab.stability.region import SAFE
from gradstab.theory.relative_scale import resolved_recipe
from gradstab.training.work import TrainingWork
from tests.science.claims import Claim

FIRST_NUMBER = 1_000_000_000  # seeds that no trial of a study ever had
PACK = 20
LEAST_SHARE = 0.9
_LOG2_CANDIDATES = 13


@dataclass(frozen=True)
class SafeCore:
    """Fresh trainings at points drawn evenly from the safe core.

    Attributes:
        promised: mean p_next of the points.
        num_in_band: trainings with every response of the criterion in band.
    """

    study: str
    num_trained: int
    num_in_band: int
    promised: float

    def __str__(self) -> str:
        return f"{self.study}: {self.num_in_band} of {self.num_trained} fresh trainings in band, p_next {self.promised:.3f}"


def train_in_safe_core(results: Results, num_trials: int = 100, seed: int = 1) -> SafeCore:
    """Train fresh networks at points drawn from the safe core; fewer than asked for where it holds fewer cells."""
    estimator, study = results.estimator, results.study
    unit_MD = np.random.default_rng(seed).permutation(estimator.coordinates.sobol(_LOG2_CANDIDATES, seed))
    p_M = estimator.probabilities(unit_MD).p_next
    chosen = np.flatnonzero(p_M > SAFE)[:num_trials]
    points = estimator.coordinates.points(unit_MD[chosen])
    trials = [
        Trial(number, point, resolved_recipe(study, point), trial_seed(study.seed, number))
        for number, point in enumerate(points, FIRST_NUMBER)
    ]
    # members of a pack share their structural fields; equal activations together keep packs few
    trials.sort(key=lambda trial: (trial.recipe.activation, trial.recipe.optimizer, trial.recipe.clip, trial.number))
    work, slot = TrainingWork(study.data, study.seed), Slot("here")
    trajectories = [trajectory for pack in _packs(trials) for trajectory in work.run(pack, slot)]
    in_band = sum(judge(trajectory, results.criterion).margin > 0 for trajectory in trajectories)
    return SafeCore(study.name, len(trials), in_band, float(p_M[chosen].mean()) if len(chosen) else float("nan"))


def claim(results: Results) -> Claim:
    """At least nine of ten fresh trainings that were called safe are."""
    found = train_in_safe_core(results)
    share = found.num_in_band / max(1, found.num_trained)
    return Claim(
        claim=f"{found.study}: fresh trainings at points of p_next > .95 are in band",
        expected=f"at least 90 % (p_next {found.promised:.3f})",
        measured=f"{100 * share:.0f} %",
        num_trials=found.num_trained,
        interval="",
        holds=found.num_trained > 0 and share >= LEAST_SHARE,
    )


def _packs(trials: list[Trial]) -> list[list[Trial]]:
    from gradstab.study.pack_key import pack_key

    groups: dict[object, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(pack_key(trial.recipe), []).append(trial)
    return [group[start : start + PACK] for group in groups.values() for start in range(0, len(group), PACK)]


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        print(train_in_safe_core(Results(StudyFolder(Path(folder)))), flush=True)
