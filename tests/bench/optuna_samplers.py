"""`python -m tests.bench.optuna_samplers`: samplers of Optuna on planted regions, one study each. JSON and one table.

Every sampler runs in an Optuna study of its own that is asked for one trial at a time (or for eight). The same estimator is
fitted to what each of them measured, so that only the choice of trials differs.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from gradstab import BoundarySampler
from gradstab.regression.coordinates import Array
from gradstab.search.samplers import distributions_of
from tests import problems
from tests.bench.region_arms import Chosen
from tests.bench.regions import NOISE, Found, found_at, gathered
from tests.problems import Problem

COUNTS = (25, 50, 100)
_CANDIDATES, _START_UP, _WIDTH = 1024, 10, 1.96


class Straddle(BaseSampler):
    """The straddle score as its paper has it, on scikit-learn's Gaussian process; the baseline to be beaten.

    Bryan et al. 2005: 1.96 sd - |mean - edge|, at the best of 1024 random points, with the edge nearest to the mean. Of
    several responses the best score counts. The first ten trials are random.
    """

    def __init__(self, problem: Problem, seed: int) -> None:
        self._problem = problem
        self._rng = np.random.default_rng(seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return distributions_of(self._problem.space)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        coordinates = self._problem.coordinates
        unit_CD = coordinates.snapped(self._rng.random((_CANDIDATES, coordinates.num_axes)))
        told = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        best = 0
        if len(told) >= _START_UP:
            unit_ND = coordinates.unit([trial.params for trial in told])
            score_C = np.full(_CANDIDATES, -np.inf)
            for band in self._problem.bands:
                response_N = np.array([trial.user_attrs[band.name] for trial in told])
                mean_C, sd_C = self._fit(coordinates.features(unit_ND), response_N, coordinates.features(unit_CD))
                distance_C = np.min([np.abs(mean_C - edge) for edge in band.edges], axis=0)
                score_C = np.maximum(score_C, _WIDTH * sd_C - distance_C)
            best = int(np.argmax(score_C))
        return dict(coordinates.points(unit_CD[best : best + 1])[0])

    def _fit(self, features_NF: Array, response_N: Array, features_CF: Array) -> tuple[Array, Array]:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        kernel = ConstantKernel(1.0) * Matern(np.full(features_NF.shape[1], 0.5), nu=2.5) + WhiteKernel(0.1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # hyper-parameters at their bounds
            fitted = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0).fit(features_NF, response_N)
        mean_C, sd_C = fitted.predict(features_CF, return_std=True)
        return mean_C, sd_C

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return RandomSampler(int(self._rng.integers(2**32))).sample_independent(
            study, trial, param_name, param_distribution
        )


def ours(problem: Problem, seed: int) -> BoundarySampler:
    names = [band.name for band in problem.bands]
    return BoundarySampler(
        {band.name: (band.low, band.high) for band in problem.bands},
        responses=lambda trial: {name: trial.user_attrs[name] for name in names},
        space=distributions_of(problem.space),
        seed=seed,
    )


def margin(problem: Problem, found: Mapping[str, float]) -> float:
    """The distance to the nearest edge of the worst response; positive inside."""
    return min(min(found[band.name] - band.low, band.high - found[band.name]) / band.unit for band in problem.bands)


def nearness(problem: Problem, found: Mapping[str, float]) -> float:
    """Largest on the boundary: what one tells a maximizer that should look for it."""
    return -abs(margin(problem, found))


Objective = Callable[[Problem, Mapping[str, float]], float]
ARMS: dict[str, tuple[Callable[[Problem, int], BaseSampler], Objective, int]] = {
    "random": (lambda _, seed: RandomSampler(seed), margin, 1),
    "QMC": (lambda _, seed: QMCSampler(seed=seed, warn_independent_sampling=False), margin, 1),
    "TPE": (lambda _, seed: TPESampler(seed=seed, multivariate=True), margin, 1),
    "TPE, nearness": (lambda _, seed: TPESampler(seed=seed, multivariate=True), nearness, 1),
    "GP": (lambda _, seed: GPSampler(seed=seed), margin, 1),
    "GP, nearness": (lambda _, seed: GPSampler(seed=seed), nearness, 1),
    "straddle": (Straddle, margin, 1),
    "BoundarySampler": (ours, margin, 1),
    "BoundarySampler, 8 running": (ours, margin, 8),
}


def all_problems() -> dict[str, Problem]:
    named = [
        problems.disc(), problems.two_islands(), problems.ridge(), problems.trained_disc(), problems.theory("relu", 0.5, 3.0),
        problems.theory_3d(), problems.theory_4d(),
    ]  # fmt: skip
    return {problem.name: problem.noisy(NOISE) for problem in named}


def chosen_by(problem: Problem, arm: str, trials: int, seed: int) -> Chosen:
    """The trials of one study, in the order in which they were told."""
    make, objective, running = ARMS[arm]
    rng = np.random.default_rng(seed)
    distributions = distributions_of(problem.space)
    study = optuna.create_study(direction="maximize", sampler=make(problem, seed))
    units: list[Array] = []
    responses: list[Mapping[str, float]] = []
    while len(units) < trials:
        for trial in [study.ask(distributions) for _ in range(running)]:
            unit_1D = problem.coordinates.unit([trial.params])
            found = {name: float(value[0]) for name, value in problem.measure(unit_1D, rng).items()}
            for name, value in found.items():
                trial.set_user_attr(name, value)
            study.tell(trial, objective(problem, found))
            units.append(unit_1D[0])
            responses.append(found)
    by_name = {band.name: np.array([found[band.name] for found in responses]) for band in problem.bands}
    return Chosen(np.array(units), by_name, problem.bands)


def run(problem_name: str, arm: str, seed: int, counts: Sequence[int]) -> list[Found]:
    """One study, looked at after each number of trials."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    begin = time.process_time()
    problem = all_problems()[problem_name]
    chosen = chosen_by(problem, arm, max(counts), seed)
    seconds = time.process_time() - begin
    return [replace(found_at(problem, arm, seed, chosen, count), seconds=seconds) for count in counts]


def table(found: Sequence[Found], counts: Sequence[int]) -> str:
    """Mean IoU, and the lowest and highest of any seed, as Markdown; the seconds are those of a whole study."""
    head = " | ".join(f"{count} trials" for count in counts)
    lines = [f"| problem | sampler | n | {head} | CPU s |", "|---|---|---|" + "---|" * (len(counts) + 1)]
    for problem in dict.fromkeys(one.problem for one in found):
        for arm in ARMS:
            mine = [one for one in found if (one.problem, one.arm) == (problem, arm)]
            if mine:
                ious = [[one.iou for one in mine if one.trials == count] for count in counts]
                cells = " | ".join(f"{statistics.mean(some):.3f} ({min(some):.3f}-{max(some):.3f})" for some in ious)
                seconds = statistics.mean(one.seconds for one in mine)
                lines.append(f"| {problem} | {arm} | {len(ious[0])} | {cells} | {seconds:.1f} |")
    return "\n".join(lines)


def paired(found: Sequence[Found], counts: Sequence[int]) -> str:
    """How often BoundarySampler ends with the higher IoU than another on the same problem and seed, as Markdown."""
    iou = {(one.problem, one.arm, one.seed, one.trials): one.iou for one in found}
    lines = [f"| BoundarySampler against | {' | '.join(f'{count} trials' for count in counts)} |"]
    lines.append("|---|" + "---|" * len(counts))
    for arm in ARMS:
        cells = []
        for count in counts:
            gains = [
                iou[problem, "BoundarySampler", seed, count] - value
                for (problem, of, seed, trials), value in iou.items()
                if (of, trials) == (arm, count) and (problem, "BoundarySampler", seed, count) in iou
            ]
            if gains:
                error = statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else math.nan
                won = sum(gain > 0 for gain in gains)
                cells.append(f"{won} of {len(gains)}, {statistics.mean(gains):+.3f} ± {error:.3f}")
        if len(cells) == len(counts) and arm != "BoundarySampler":
            lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.optuna_samplers", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=max(COUNTS), help="most trials of a study")
    parser.add_argument("--problems", help=f"some of {', '.join(all_problems())} (default all)")
    parser.add_argument("--arms", help=f"some of {'; '.join(ARMS)} (default all)")
    parser.add_argument("--minutes", type=float, default=60, help="after which no more studies are begun")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--add", type=Path, action="append", default=[], help="JSON of earlier runs, for the tables")
    parser.add_argument("--json", type=Path, default=Path("build/optuna_samplers.json"))
    asked = parser.parse_args()
    counts = tuple(count for count in COUNTS if count <= asked.most)
    names = asked.problems.split(",") if asked.problems else list(all_problems())
    arms = asked.arms.split(";") if asked.arms else list(ARMS)
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    jobs = [(name, arm, seed, counts) for seed in seeds for name in names for arm in arms]
    found = gathered(asked, jobs, run)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    print(f"commit {commit.strip()}, noise {NOISE}, {len(jobs)} studies planned\n")
    print(table(found, counts), paired(found, counts), sep="\n\n")


if __name__ == "__main__":
    main()
