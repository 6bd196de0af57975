"""Ways to choose the trials of a planted problem: each gives unit coordinates and responses in the order told."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import optuna

from gradstab.record.certificate import Certificate, read_certificate
from gradstab.regression.coordinates import Array
from gradstab.sampling.boundary_search import BoundarySearch
from gradstab.sampling.region_model import RegionModel, ToldTrials
from gradstab.search.designs import Design, GridDesign, RandomDesign, SobolDesign
from gradstab.search.history import History
from gradstab.search.samplers import distributions_of
from gradstab.study.response_band import ResponseBand
from gradstab.study.sampler_spec import GridSpec
from tests.fakes_regions import open_study, study_of
from tests.problems import Problem

DRIVEN_BATCH = 8


@dataclass(frozen=True)
class Chosen:
    """Trials in the order in which they were told.

    Attributes:
        bands: in the units of the responses.
    """

    unit_ND: Array
    responses: Mapping[str, Array]
    bands: tuple[ResponseBand, ...]
    certificate: Certificate | None = None


Arm = Callable[[Problem, int, int], Chosen]  # (problem, trials, seed)


def designed(make: Callable[[Problem, int, int], Design], problem: Problem, trials: int, seed: int) -> Chosen:
    design = make(problem, trials, seed)
    return _measured(problem, problem.coordinates.unit([design.point(index) for index in range(trials)]), seed)


def grid_of(problem: Problem, trials: int, seed: int) -> Design:
    """The smallest grid with so many points, shuffled: who takes a grid must know the budget beforehand."""
    levels = 1
    while (spec := GridSpec(default_levels=levels)).num_points(problem.space) < trials:
        levels += 1
    return GridDesign(problem.space, seed, spec)


def tpe(problem: Problem, trials: int, seed: int) -> Chosen:
    """Optuna's TPE on the margin, 8 asked at a time."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True))
    rng, distributions = np.random.default_rng(seed), distributions_of(problem.space)
    unit_ND = np.empty((0, problem.coordinates.num_axes))
    responses = {band.name: np.empty(0) for band in problem.bands}
    while len(unit_ND) < trials:
        asked = [study.ask(distributions) for _ in range(min(DRIVEN_BATCH, trials - len(unit_ND)))]
        unit_KD = problem.coordinates.unit([trial.params for trial in asked])
        found = problem.measure(unit_KD, rng)
        for row, trial in enumerate(asked):
            study.tell(trial, min(_margin(band, float(found[band.name][row])) for band in problem.bands))
        unit_ND = np.concatenate([unit_ND, unit_KD])
        responses = {name: np.concatenate([value_N, found[name]]) for name, value_N in responses.items()}
    return Chosen(unit_ND, responses, problem.bands)


def boundary(batch: int, pending: bool, problem: Problem, trials: int, seed: int) -> Chosen:
    """The boundary search itself, `batch` asked at a time; without `pending` it is not told what runs."""
    rng, model = np.random.default_rng(seed), RegionModel(problem.space, problem.bands, seed)
    search = BoundarySearch(model, seed)
    unit_ND = np.empty((0, problem.coordinates.num_axes))
    responses = {band.name: np.empty(0) for band in problem.bands}
    while len(unit_ND) < trials:
        measured = ToldTrials(tuple(range(len(unit_ND))), unit_ND, responses)
        asked: list[Array] = []
        for _ in range(min(batch, trials - len(unit_ND))):
            unaware = model.ready and not pending
            search = BoundarySearch(model, seed) if unaware else search
            asked.append(search.propose(measured, np.reshape([] if unaware else asked, (-1, unit_ND.shape[1]))))
        unit_KD = np.array(asked)
        found = problem.measure(unit_KD, rng)
        unit_ND = np.concatenate([unit_ND, unit_KD])
        responses = {name: np.concatenate([value_N, found[name]]) for name, value_N in responses.items()}
    return Chosen(unit_ND, responses, problem.bands)


def driven(error: float | None, problem: Problem, trials: int, seed: int) -> Chosen:
    """The real loop, Optuna's journal and planted work; 8 asked at a time, one slot."""
    changes: dict[str, object] = {} if error is None else {"stop": {"error": error}}
    study = study_of(problem, seed=seed, budget={"trials": trials}, **changes)
    with tempfile.TemporaryDirectory() as name:
        runner, searcher = open_study(study, Path(name), problem)
        runner.recover()
        runner.run()
        history = History(study.space, study.bands())
        history.read(searcher._study)
        searcher.close()
        certificate = read_certificate(Path(name))
    return Chosen(history.measured.unit_ND, history.measured.responses, study.bands(), certificate)


def _measured(problem: Problem, unit_ND: Array, seed: int) -> Chosen:
    return Chosen(unit_ND, problem.measure(unit_ND, np.random.default_rng(seed)), problem.bands)


def _margin(band: ResponseBand, response: float) -> float:
    return min(response - band.low, band.high - response) / band.unit


ARMS: dict[str, Arm] = {
    "random": partial(designed, lambda problem, _, seed: RandomDesign(problem.space, seed)),
    "Sobol": partial(designed, lambda problem, _, seed: SobolDesign(problem.space, seed)),
    "grid": partial(designed, grid_of),
    "TPE": tpe,
    "boundary q=1": partial(boundary, 1, True),
    "boundary q=8": partial(driven, None),
    "boundary q=64": partial(boundary, 64, True),
    "boundary q=64, blind": partial(boundary, 64, False),
}
