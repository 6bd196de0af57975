"""Planted regions behind the real loop: a study of a problem, and work whose trajectories are judged as planted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gradstab.execution.serial_executor import SerialExecutor
from gradstab.loop.cost_model import CostModel
from gradstab.loop.ports import Slot, Work
from gradstab.loop.runner import Runner, RunSettings
from gradstab.loop.trial import Trial
from gradstab.record.trajectory import Trajectory
from gradstab.search.searcher import OptunaSearcher
from gradstab.study.criterion import Criterion
from gradstab.study.responses.library.training_response import TRAINING_RESPONSE_RANGE, TRAINING_RESPONSE_UNIT
from gradstab.study.study import Study
from tests.fakes import REFERENCE_LOSS, NoTracker, make_trajectory
from tests.journal_searcher import open_journal_searcher
from tests.problems import Problem

STEPS = 4


def study_of(problem: Problem, **changes: object) -> Study:
    """A study whose responses and bands are the problem's; T in its own unit, and clamped."""
    responses = tuple(band.name for band in problem.bands)
    fields: dict[str, object] = {
        "name": "planted",
        "question": "Is the planted region found?",
        "space": problem.space,
        "recipe": {"steps": STEPS if "T" in responses else 0},
        "criterion": {"responses": responses},
        "sampler": {"type": "boundary", "batch": 8},
    }
    return Study.model_validate({**fields, **changes})


@dataclass(frozen=True)
class RegionWork:
    """Trajectories whose R and T are a problem's, with its noise, drawn from the trial's seed."""

    problem: Problem

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        unit_ND = self.problem.coordinates.unit([trial.point for trial in trials])
        median = self.problem.median(self.problem.coordinates.snapped(unit_ND))
        return [
            _trajectory(trial, {name: float(value_N[row]) for name, value_N in median.items()}, self.problem.noise)
            for row, trial in enumerate(trials)
        ]


def _trajectory(trial: Trial, median: dict[str, float], noise: float) -> Trajectory:
    rng = np.random.default_rng(trial.seed)
    value = {name: median_of + noise * rng.standard_normal() for name, median_of in median.items()}
    trajectory = make_trajectory(trial.recipe, seed=trial.seed % 2**32)
    series = dict(trajectory.series)
    if "R" in value:
        layer_L = np.arange(trial.recipe.depth) / (trial.recipe.depth - 1)
        row_PL = np.tile(-value["R"] * layer_L, (len(trajectory.probe_step_P), 1))
        series["log10_delta_norm"] = row_PL.astype(series["log10_delta_norm"].dtype)
    if "T" in value:
        response = float(np.clip(TRAINING_RESPONSE_UNIT * value["T"], *TRAINING_RESPONSE_RANGE))
        loss = Criterion().target_fraction * REFERENCE_LOSS * 10**response
        series["loss"] = np.full_like(series["loss"], loss)
    return replace(trajectory, series=series)


def open_study(study: Study, folder: Path, problem: Problem) -> tuple[Runner, OptunaSearcher]:
    """The real loop on a planted problem."""
    return open_loop(study, folder, RegionWork(problem))


def open_loop(study: Study, folder: Path, work: Work) -> tuple[Runner, OptunaSearcher]:
    """The real loop on a journal in the folder, in process; its searcher is to be closed."""
    searcher = open_journal_searcher(study, folder)
    runner = Runner(
        study,
        folder,
        searcher,
        SerialExecutor(work),
        NoTracker(),
        limits=RunSettings(pack_bytes=2**30),
        costs={"cpu": CostModel()},
        on_progress=lambda _: None,
    )
    return runner, searcher
