"""`gradstab.BoundarySampler` in real Optuna studies on every kind of storage: what it proposes, and what decides it."""

from __future__ import annotations

import logging
import math
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
from sqlalchemy import event

from gradstab import BoundarySampler
from gradstab.errors import UsageError
from gradstab.search.boundary_sampler import BoundarySampler as StudySampler
from gradstab.search.designs import derived_seed
from gradstab.search.user_study import point_of
from gradstab.study.axes import LogReal, Real
from gradstab.study.response_band import ResponseBand
from gradstab.study.space import SearchSpace

SPACE: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(1e-3, 1.0, log=True),
    "depth": IntDistribution(2, 50, log=True),
    "kind": CategoricalDistribution(("plain", "residual")),
}
KINDS = ("memory", "journal", "sqlite")


def storage_in(folder: Path, kind: str) -> BaseStorage:
    if kind == "memory":
        return InMemoryStorage()
    if kind == "journal":
        return JournalStorage(JournalFileBackend(str(folder / "journal")))
    sqlite = RDBStorage(f"sqlite:///{folder}/study.db")

    @event.listens_for(sqlite.engine, "connect")
    def hurry(connection, record):
        connection.execute("PRAGMA synchronous = OFF")  # nothing here survives the test

    return sqlite


@pytest.fixture(params=KINDS)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> BaseStorage:
    return storage_in(tmp_path, request.param)


def study_on(storage: BaseStorage, sampler: BoundarySampler | None = None) -> optuna.Study:
    return optuna.create_study(
        study_name="s", storage=storage, load_if_exists=True, sampler=sampler or BoundarySampler((-1.0, 1.0), seed=4)
    )


def response_at(params: dict[str, Any]) -> float:
    """Between -1 and 1 in a narrow stretch of rates that depends on depth and kind."""
    middle = -1.2 if params["kind"] == "plain" else -0.9
    return 4 * (math.log10(params["rate"]) - middle) + math.log10(params["depth"])


def objective(trial: Trial) -> float:
    params = {
        "rate": trial.suggest_float("rate", 1e-3, 1.0, log=True),
        "depth": trial.suggest_int("depth", 2, 50, log=True),
        "kind": trial.suggest_categorical("kind", ("plain", "residual")),
    }
    return response_at(params)


def run(study: optuna.Study, count: int) -> None:
    """Ask and tell, as programs do that own their loop."""
    for _ in range(count):
        trial = study.ask(SPACE)
        study.tell(trial, response_at(trial.params))


@cache
def earlier() -> list[FrozenTrial]:
    """The trials of a study in memory, which other studies begin with."""
    study = study_on(InMemoryStorage())
    run(study, 40)
    return study.trials


def points(trials: list[FrozenTrial]) -> list[tuple[Any, ...]]:
    return [tuple(trial.params[name] for name in SPACE) for trial in trials]


def asked(study: optuna.Study, count: int) -> list[dict[str, Any]]:
    return [study.ask(SPACE).params for _ in range(count)]


def sampler_of(study: optuna.Study) -> BoundarySampler:
    assert isinstance(study.sampler, BoundarySampler)
    return study.sampler


def measured(study: optuna.Study) -> set[int]:
    """Numbers of the trials that the sampler learns from."""
    known, _ = sampler_of(study)._trials.read(study)
    trials = study.get_trials(deepcopy=False)
    return {trial.number for trial in trials if any(trial.params is one.params for one in known)}


def test_trials_gather_at_the_edges_of_the_band(storage):
    study = study_on(storage)
    study.optimize(objective, n_trials=60)
    distances = [
        min(abs(value - 1), abs(value + 1)) for trial in study.trials[30:] if (value := trial.value) is not None
    ]
    assert np.median(distances) < 0.5  # uniform trials: 3.7
    assert {trial.params["kind"] for trial in study.trials[30:]} == {"plain", "residual"}


def test_points_are_those_of_our_own_studies(tmp_path):
    """One model and one score: a study of ours and a user's study of the same responses agree to the last bit."""
    space = SearchSpace({"a": LogReal(1e-3, 1.0), "b": Real(-2.0, 3.0)})
    distributions: dict[str, BaseDistribution] = {
        "a": FloatDistribution(1e-3, 1.0, log=True),
        "b": FloatDistribution(-2.0, 3.0),
    }
    own = optuna.create_study(
        sampler=StudySampler(space, [ResponseBand("R", -1.0, 1.0, 1.0)], seed=derived_seed(4, "boundary sampler"))
    )
    users = optuna.create_study(sampler=BoundarySampler((-1.0, 1.0), space=distributions, seed=4))
    for _ in range(12):
        batch = [[study.ask(distributions) for study in (own, users)] for _ in range(3)]
        for first, second in reversed(batch):  # results come in another order than trials are asked for
            assert first.params == second.params
            response = 3 * math.log10(first.params["a"]) + 4 + first.params["b"]
            first.set_user_attr("gs.R", response)
            own.tell(first, response)
            users.tell(second, response)


@pytest.mark.parametrize("told", [1, 7, 40])
@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_a_study_that_is_continued_gets_the_points_it_would_have_got(tmp_path, kind, told):
    (tmp_path / "other").mkdir()
    through = study_on(storage_in(tmp_path, kind))
    stopped = study_on(storage_in(tmp_path / "other", kind))
    for study in (through, stopped):
        study.add_trials(earlier()[:told])
        asked(study, 3)  # still running when it stops
    continued = study_on(storage_in(tmp_path / "other", kind))
    assert asked(continued, 5) == asked(through, 5)


def test_another_process_gets_the_same_next_point(tmp_path):
    study = study_on(storage_in(tmp_path, "sqlite"))
    study.add_trials(earlier()[:25])
    script = (
        "import optuna, gradstab; from tests.search.test_optuna_sampler import SPACE;"
        f"study = optuna.load_study(study_name='s', storage='sqlite:///{tmp_path}/study.db',"
        " sampler=gradstab.BoundarySampler((-1.0, 1.0), seed=4));"
        "trial = study.ask(SPACE); study.tell(trial, state=optuna.trial.TrialState.FAIL); print(trial.params)"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(asked(study, 1)[0])


def test_seeds_differ(tmp_path):
    first, second = (optuna.create_study(sampler=BoundarySampler((-1, 1), space=SPACE, seed=seed)) for seed in (0, 1))
    assert asked(first, 3) != asked(second, 3)


def test_a_sampler_survives_pickling_in_the_middle_of_a_study():
    study = study_on(InMemoryStorage(), BoundarySampler({"R": (-1, 1)}, responses=first_value, seed=3))
    run(study, 25)
    copy = pickle.loads(pickle.dumps(study.sampler))
    (point,) = asked(study, 1)
    study.tell(25, state=TrialState.FAIL)
    study.sampler = copy
    assert asked(study, 1) == [point]


def first_value(trial: FrozenTrial) -> dict[str, float]:
    return {"R": trial.values[0]}


def test_with_a_space_the_start_up_design_begins_with_the_first_trial(storage):
    study = study_on(storage, BoundarySampler((-1.0, 1.0), space=SPACE, seed=4))
    kinds = [params["kind"] for params in asked(study, 12)]
    assert kinds.count("plain") == 6  # random kinds would agree in a fifth of all seeds only


def test_running_trials_are_believed(storage):
    study = study_on(storage)
    study.add_trials(earlier()[:24])
    assert len({tuple(params.items()) for params in asked(study, 16)}) == 16


def test_other_workers_read_a_point_before_the_objective_has_asked_for_all_of_it(tmp_path):
    first, second = (study_on(storage_in(tmp_path, "sqlite")) for _ in range(2))
    first.add_trials(earlier()[:24])
    first.enqueue_trial({"depth": 11})
    trial = first.ask()
    trial.suggest_float("rate", 1e-3, 1.0, log=True)
    known = point_of(second.trials[24], SPACE)
    assert known["depth"] == 11
    objective(trial)
    assert known == trial.params


@pytest.mark.parametrize("told", [1, 24])
def test_workers_that_know_nothing_of_each_other_get_different_points(tmp_path, told):
    """Each of them reads the storage before any of the others has written its point."""
    study = study_on(storage_in(tmp_path, "journal"))
    study.add_trials(earlier()[:told])
    numbers = [study.ask().number for _ in range(4)]
    found = []
    for number in numbers:
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copy(tmp_path / "journal", folder)
        worker = study_on(storage_in(folder, "journal"))
        trial = Trial(worker, worker.trials[number]._trial_id)
        objective(trial)
        found.append(tuple(trial.params.items()))
    assert len(set(found)) == 4


def test_threads_share_one_sampler(storage):
    study = study_on(storage)
    study.optimize(objective, n_trials=40, n_jobs=4)
    assert len(study.trials) == 40
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials)
    assert len(set(points(study.trials))) == 40


def test_processes_share_one_storage(tmp_path):
    study = study_on(storage_in(tmp_path, "journal"))
    script = (
        "from pathlib import Path; from tests.search.test_optuna_sampler import *;"
        f"study_on(storage_in(Path({str(tmp_path)!r}), 'journal')).optimize(objective, n_trials=12)"
    )

    def work(_: int) -> None:
        subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)

    with ThreadPoolExecutor() as pool:
        list(pool.map(work, range(3)))
    assert len(study.trials) == 36
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials)
    assert len(set(points(study.trials))) >= 34  # workers that read the results at different moments may still agree


def test_which_trials_count(storage):
    study = study_on(storage, BoundarySampler({"R": (-1, 1)}, responses=lambda trial: trial.user_attrs.get("found")))
    cases: list[tuple[object, TrialState]] = [
        ({"R": 0.5}, TrialState.COMPLETE),
        (None, TrialState.COMPLETE),  # the function says that nothing was measured
        ({"R": 0.5}, TrialState.PRUNED),  # measured before it was pruned
        (None, TrialState.PRUNED),
        ({"wrong": 1.0}, TrialState.PRUNED),
        ({"R": 0.5}, TrialState.FAIL),
        ({"R": math.nan}, TrialState.COMPLETE),
        ({"R": -math.inf}, TrialState.COMPLETE),
        ({"R": 3}, TrialState.COMPLETE),  # a whole number is a number
    ]
    for found, state in cases:
        trial = study.ask()
        objective(trial)
        trial.set_user_attr("found", found)
        study.tell(trial, 0.0 if state == TrialState.COMPLETE else None, state=state)
    known, _ = sampler_of(study)._trials.read(study)
    assert [repr(one.responses[0]) for one in known] == ["0.5", "0.5", "nan", "-inf", "3.0"]


def test_values_of_pruned_trials_are_no_responses():
    study = study_on(InMemoryStorage())
    run(study, 3)
    trial = study.ask()
    objective(trial)
    trial.report(0.5, 1)
    study.tell(trial, state=TrialState.PRUNED)
    assert measured(study) == {0, 1, 2}


@pytest.mark.parametrize(
    ("band", "inside", "outside"),
    [
        ((-1, 1), [0.0, 0.999], [math.nan, math.inf, -math.inf, 1e300, -1e300]),
        ((-math.inf, 2.0), [-math.inf, -1e300, 1.9], [math.nan, math.inf, 1e300]),
        ((2.0, math.inf), [math.inf, 1e300, 2.1], [math.nan, -math.inf, -1e300]),
    ],
)
def test_responses_that_are_not_finite_lie_far_on_their_side(band, inside, outside):
    from gradstab.search.user_responses import UserResponses

    (scale,) = UserResponses(band, None).scales([(float(value),) for value in [*inside, *outside]])
    assert scale.band.contains(scale(inside)).all()
    assert not scale.band.contains(scale(outside)).any()
    assert np.abs(scale([*inside, *outside])).max() <= 37


def test_infinite_responses_lie_where_finite_ones_end():
    """Far beyond, they would bend the model near the edge; on the edge, they would not be outside."""
    from gradstab.search.user_responses import UserResponses

    (above,) = UserResponses((-math.inf, 0.0), None).scales([(-2.0,), (-1.0,), (0.5,), (math.inf,), (6.0,), (-1.0,)])
    assert above([math.inf, math.nan, 3.0]).tolist() == [6.0, 6.0, 3.0]  # a unit is the median distance, 1
    (within,) = UserResponses((2.0, 6.0), None).scales([(math.nan,), (3.0,), (-8.0,)])
    assert within([math.inf, -math.inf, 2.0, 6.0]).tolist() == [2.0, -6.0, -1.0, 1.0]


def test_no_point_is_tried_twice_while_there_are_others():
    """A deterministic objective would answer the same again."""
    study = study_on(InMemoryStorage())
    run(study, 80)
    assert len(set(points(study.trials))) == 80
    few = {"a": CategoricalDistribution((1, 2, 3)), "b": IntDistribution(0, 3)}
    small = optuna.create_study(sampler=BoundarySampler((-1.0, 1.0), space=few, startup_trials=6))
    for _ in range(20):
        trial = small.ask(few)
        small.tell(trial, trial.params["a"] - trial.params["b"])
    assert len({tuple(trial.params.items()) for trial in small.trials[:12]}) == 12


def test_a_study_whose_responses_explode_finds_its_boundary():
    """Losses that overflow: most of the space answers inf or NaN."""

    def exploding(trial: Trial) -> float:
        rate, width = trial.suggest_float("rate", 1e-4, 10.0, log=True), trial.suggest_float("width", 0.0, 1.0)
        over = math.log10(rate) + 1 - width
        trial.set_user_attr("loss", over if over < 0.3 else math.nan if over > 1 else math.inf)
        return 0.0

    study = optuna.create_study(
        sampler=BoundarySampler((-math.inf, 0.0), responses=lambda trial: trial.user_attrs["loss"])
    )
    study.optimize(exploding, n_trials=40)
    found = sampler_of(study).probabilities(
        study, [{"rate": 10**log_rate, "width": 0.5} for log_rate in (-3.0, -0.7, -0.3, 0.5)]
    )
    assert [bool(p > 0.5) for p in found.p_region] == [True, True, False, False]


@pytest.mark.parametrize("power", [-6, 0, 6])
def test_the_scale_of_a_response_does_not_matter(power):
    """Points are the same for a loss in millions and in millionths."""
    studies = []
    for unit in (1.0, 10.0**power):
        study = study_on(InMemoryStorage(), BoundarySampler((-math.inf, 5 * unit), seed=1))
        for _ in range(30):
            trial = study.ask()
            study.tell(trial, unit * (5 + objective(trial)))
        studies.append(study)
    assert points(studies[0].trials)[:22] == points(studies[1].trials)[:22]


def test_parameters_have_no_meaning_by_their_names():
    """`depth` and `clip` are settings of our own networks, with rules of their own there."""
    results = []
    for names in (("p", "q", "r"), ("depth", "clip_threshold", "clip")):
        space = dict(
            zip(
                names,
                (IntDistribution(2, 50), FloatDistribution(0.1, 9.0, log=True), CategoricalDistribution((False, True))),
                strict=True,
            )
        )
        study = optuna.create_study(sampler=BoundarySampler((-1.0, 1.0), space=space))
        for _ in range(30):
            trial = study.ask(space)
            depth, threshold, _ = trial.params.values()
            study.tell(trial, depth / 10 - threshold)
        results.append([tuple(trial.params.values()) for trial in study.trials])
    assert results[0] == results[1]


DISTRIBUTIONS: dict[str, BaseDistribution] = {
    "float": FloatDistribution(-2.5, 7.0),
    "log": FloatDistribution(1e-7, 10.0, log=True),
    "steps": FloatDistribution(-10.2, 10.2, step=0.1),
    "int": IntDistribution(-3, 12),
    "int steps": IntDistribution(-3, 12, step=5),
    "log int": IntDistribution(1, 1000, log=True),
    "kinds": CategoricalDistribution(("a", 1, None, 2.5, False)),
    "large int": IntDistribution(0, 10**15),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_every_distribution_is_searched(name):
    """Every proposal is a value of the distribution, of Python's own type, and the whole range is used."""
    distribution = DISTRIBUTIONS[name]
    space = {"x": distribution, "y": FloatDistribution(0.0, 1.0)}
    study = optuna.create_study(sampler=BoundarySampler((-1.0, 1.0), space=space))
    values = []
    for number in range(60):
        trial = study.ask(space)
        value = trial.params["x"]
        internal = distribution.to_internal_repr(value)
        assert distribution._contains(internal)
        assert type(value) in (float, int, str, bool, type(None))
        values.append(internal)
        study.tell(trial, 5 * (trial.params["y"] - 0.5) if number % 5 else math.inf)
    if isinstance(distribution, CategoricalDistribution):
        assert set(values) == set(range(5))
    else:
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        low, high = distribution.low, distribution.high
        shares = [
            math.log(v / low) / math.log(high / low) if distribution.log else (v - low) / (high - low) for v in values
        ]
        assert min(shares) < 0.15
        assert max(shares) > 0.85


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_values_come_back_from_unit_coordinates(name):
    from gradstab.search.parameter_space import ParameterSpace

    distribution = DISTRIBUTIONS[name]
    space = ParameterSpace({"x": distribution})
    sampler = optuna.samplers.RandomSampler(0)
    study = optuna.create_study(sampler=sampler)
    for _ in range(50):
        value = study.ask({"x": distribution}).params["x"]
        unit_D = space.unit({"x": value})
        assert unit_D is not None
        assert space.params(unit_D)["x"] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value)


def test_parameters_that_floating_point_cannot_span_are_drawn_at_random():
    space: dict[str, BaseDistribution] = {
        "x": FloatDistribution(1e-300, 1e300, log=True),
        "y": FloatDistribution(0.0, 1.0),
    }
    study = optuna.create_study(sampler=BoundarySampler((-1.0, 1.0), space=space))
    params = [study.ask(space).params for _ in range(3)]
    assert all(set(point) == {"x", "y"} for point in params)


def test_conditional_parameters_are_drawn_at_random_and_the_others_searched(storage, caplog):
    def conditional(trial: Trial) -> float:
        value = 10 * trial.suggest_float("x", 0.0, 1.0) - 5
        if trial.suggest_categorical("more", (True, False)):
            trial.suggest_float("momentum", 0.0, 1.0)
        trial.suggest_float("range", 0.0, 1.0 + trial.number)  # a range that changes
        return value

    study = study_on(storage)
    with caplog.at_level(logging.WARNING, logger="gradstab"):
        study.optimize(conditional, n_trials=50)
    late = study.trials[25:]
    assert np.median([min(abs(t.value - 1), abs(t.value + 1)) for t in late if t.value is not None]) < 0.8  # else 2
    momenta = [trial.params["momentum"] for trial in late if "momentum" in trial.params]
    assert len(set(momenta)) == len(momenta) > 5
    said = [record.getMessage() for record in caplog.records if record.name.startswith("gradstab")]
    assert sorted(message.split()[1] for message in said) == ["'momentum'", "'range'"]  # once each


def test_a_continued_study_does_not_repeat_its_random_parameters(tmp_path):
    values = []
    for _ in range(2):
        study = study_on(storage_in(tmp_path, "journal"))
        for _ in range(3):
            trial = study.ask()
            width = 1.0 + trial.number  # a range that changes is drawn at random
            values.append(round(trial.suggest_float("x", 0.0, width) / width, 9))
            study.tell(trial, 0.0)
    assert len(set(values)) == 6


def test_enqueued_points_are_tried_as_given_and_believed(storage):
    study = study_on(storage)
    study.add_trials(earlier()[:24])
    given = {"rate": 0.07, "depth": 9, "kind": "plain"}
    study.enqueue_trial(given)
    study.enqueue_trial({"depth": 11})
    first, second = study.ask(), study.ask()
    others = asked(study, 10)
    for trial in (first, second):
        objective(trial)
    assert first.params == given
    assert second.params["depth"] == 11
    assert given not in others


def test_results_of_other_samplers_and_ranges_count_where_they_lie_in_the_space():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    study.optimize(objective, n_trials=30)
    wide = {**SPACE, "rate": FloatDistribution(1e-6, 1.0, log=True)}
    for rate in (1e-5, 0.1):
        params = {"rate": rate, "depth": 5, "kind": "plain"}
        study.add_trial(create_trial(value=response_at(params), params=params, distributions=wide))
    study.sampler = BoundarySampler((-1.0, 1.0), space=SPACE)
    near = [response_at(params) for params in asked(study, 10)]
    assert np.median([min(abs(value - 1), abs(value + 1)) for value in near]) < 1.5  # uniform trials: 3.7


def test_one_sampler_serves_several_studies():
    sampler = BoundarySampler((-1.0, 1.0), seed=4)
    together = [optuna.create_study(sampler=sampler) for _ in range(2)]
    alone = [optuna.create_study(sampler=BoundarySampler((-1.0, 1.0), seed=4)) for _ in range(2)]
    for _ in range(25):
        for sign, studies in ((1, (together[0], alone[0])), (-1, (together[1], alone[1]))):
            for study in studies:
                trial = study.ask(SPACE)
                study.tell(trial, sign * response_at(trial.params) + 2)
    for shared, own in zip(together, alone, strict=True):
        assert points(shared.trials) == points(own.trials)


def test_studies_of_several_objectives_have_a_band_for_each():
    sampler = BoundarySampler({"first": (-1, 1), "second": (-math.inf, 0)}, seed=1)
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)

    def both(trial: Trial) -> tuple[float, float]:
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        return 6 * (x - 0.5), 8 * (y - 0.5)

    study.optimize(both, n_trials=50)
    found = sampler.probabilities(
        study, [{"x": x, "y": y} for x, y in ((0.5, 0.2), (0.5, 0.8), (0.1, 0.2), (0.9, 0.9))]
    )
    assert [bool(p > 0.5) for p in found.p_region] == [True, False, False, False]


def test_hyperband_shows_the_sampler_one_bracket_at_a_time():
    study = optuna.create_study(
        sampler=BoundarySampler((-1.0, 1.0), startup_trials=4), pruner=optuna.pruners.HyperbandPruner(1, 9)
    )
    study.optimize(objective, n_trials=30)
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials)


def test_the_level_set_is_found_where_it_is():
    study = study_on(InMemoryStorage())
    study.optimize(objective, n_trials=80)
    anywhere = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    grid = [anywhere.ask(SPACE).params for _ in range(400)]
    said = sampler_of(study).probabilities(study, grid).p_region > 0.5
    inside = np.array([abs(response_at(params)) < 1 for params in grid])
    assert (said & inside).sum() / (said | inside).sum() > 0.85


def sampled(sampler: BoundarySampler, tell: Callable[[Trial], object]) -> None:
    study = optuna.create_study(sampler=sampler)
    for _ in range(2):
        trial = study.ask()
        trial.suggest_float("x", 0.0, 1.0)
        tell(trial)
        study.tell(trial, 0.0)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (lambda: BoundarySampler((1, 1)), "band of the response must be an interval with a finite end, got (1.0, 1.0)"),
        (lambda: BoundarySampler((-math.inf, math.inf)), "must be an interval with a finite end"),
        (
            lambda: BoundarySampler({"R": (0, math.nan)}),
            "band of R must be an interval with a finite end, got (0.0, nan)",
        ),
        (lambda: BoundarySampler({"R": cast(Any, 3)}), "the band of R must be two numbers (low, high), got 3"),
        (lambda: BoundarySampler({}), "bands must hold at least one response, got none"),
        (lambda: BoundarySampler((0, 1), startup_trials=0), "startup_trials must be within 1 and 1024, got 0"),
        (
            lambda: BoundarySampler((0, 1), space={"x": cast(Any, (0, 1))}),
            "space must hold Optuna distributions, got (0, 1) for x",
        ),
        (
            lambda: sampled(BoundarySampler({"a": (0, 1), "b": (0, 1)}), lambda trial: None),
            "one band for each of the study's 1 objectives, got 2",
        ),
        (
            lambda: sampled(BoundarySampler((0, 1), responses=lambda trial: trial.user_attrs["R"]), lambda trial: None),
            "responses= could not read trial 0: KeyError: 'R'",
        ),
        (
            lambda: sampled(BoundarySampler((0, 1), responses=lambda trial: cast(Any, "high")), lambda trial: None),
            "responses= must return numbers, got 'high' for the response of trial 0",
        ),
        (
            lambda: sampled(BoundarySampler({"R": (0, 1)}, responses=lambda trial: {"S": 1.0}), lambda trial: None),
            "trial 0 has none for 'R': it returned 'S'",
        ),
        (
            lambda: sampled(BoundarySampler((0, 1), responses=lambda trial: {"R": 1.0}), lambda trial: None),
            "must return a number where bands is one (low, high)",
        ),
        (lambda: BoundarySampler((0, 1)).probabilities(optuna.create_study(), []), "run the study first"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(fault, sentence):
    with pytest.raises(UsageError) as caught:
        fault()
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_point_outside_is_named():
    study = study_on(InMemoryStorage())
    run(study, 20)
    with pytest.raises(UsageError, match=r"within its range for depth, kind, rate, got \{'rate': 5\}"):
        sampler_of(study).probabilities(study, [{"rate": 5}])
