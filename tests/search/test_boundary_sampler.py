"""The boundary sampler in real Optuna studies: what it takes into account, and that storage alone decides."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from gradstab.search.boundary_sampler import BoundarySampler
from gradstab.search.samplers import distributions_of
from gradstab.study.axes import Choice, LogInteger, LogReal
from gradstab.study.response_band import ResponseBand
from gradstab.study.space import SearchSpace
from tests.problems import RATIO

SPACE = SearchSpace(
    {"init_scale": LogReal(0.5, 4.0), "depth": LogInteger(2, 50), "activation": Choice(("relu", "tanh"))}
)
BANDS = (RATIO, ResponseBand("T", -math.inf, 0.0, 0.3, high_side="untrained"))
DISTRIBUTIONS = distributions_of(SPACE)


def study_in(folder: Path, bands: tuple[ResponseBand, ...] = BANDS[:1]) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(folder / "journal")))
    sampler = BoundarySampler(SPACE, bands, seed=4)
    return optuna.create_study(
        study_name="s", storage=storage, sampler=sampler, load_if_exists=True, direction="maximize"
    )


def ratio_at(params: dict[str, Any]) -> float:
    edge = 1.4 if params["activation"] == "relu" else 1.1
    return math.log(float(params["init_scale"]) / edge) * float(params["depth"]) / 10


def ask_and_tell(study: optuna.Study, count: int) -> None:
    for _ in range(count):
        trial = study.ask(DISTRIBUTIONS)
        ratio = ratio_at(trial.params)
        trial.set_user_attr("gs.R", ratio)
        study.tell(trial, 1 - abs(ratio))


def asked(study: optuna.Study, count: int) -> list[dict[str, Any]]:
    return [study.ask(DISTRIBUTIONS).params for _ in range(count)]


def measured(study: optuna.Study) -> tuple[int, ...]:
    """Numbers that the sampler learnt from at its last ask."""
    sampler = study.sampler
    assert isinstance(sampler, BoundarySampler)
    return sampler.history.measured.numbers


def test_the_first_ask_honours_the_space(tmp_path):
    for params in asked(study_in(tmp_path), 20):
        assert list(params) == list(SPACE.names())
        assert 0.5 <= params["init_scale"] <= 4.0
        assert isinstance(params["depth"], int)
        assert 2 <= params["depth"] <= 50
        assert params["activation"] in ("relu", "tanh")


def test_define_by_run_studies_get_the_same_points(tmp_path):
    """`suggest_...` without a space, as Optuna's tutorials have it."""
    (tmp_path / "other").mkdir()
    first, second = study_in(tmp_path), study_in(tmp_path / "other")
    trial = second.ask()
    params = {
        "init_scale": trial.suggest_float("init_scale", 0.5, 4.0, log=True),
        "depth": trial.suggest_int("depth", 2, 50, log=True),
        "activation": trial.suggest_categorical("activation", ("relu", "tanh")),
    }
    assert params == asked(first, 1)[0]


@pytest.mark.parametrize("told", [0, 7, 40])
def test_a_reopened_study_asks_what_one_that_never_stopped_asks(tmp_path, told):
    (tmp_path / "other").mkdir()
    through, stopped = study_in(tmp_path), study_in(tmp_path / "other")
    for study in (through, stopped):
        ask_and_tell(study, told)
        asked(study, 3)  # still running when it stops
    reopened = study_in(tmp_path / "other")
    assert asked(reopened, 5) == asked(through, 5)


def test_64_asks_without_a_tell_give_no_duplicates(tmp_path):
    study = study_in(tmp_path)
    ask_and_tell(study, 24)
    assert len({tuple(params.items()) for params in asked(study, 64)}) == 64


def test_trials_that_tell_nothing_are_left_out_and_stop_nobody(tmp_path):
    study = study_in(tmp_path, BANDS)
    told: list[dict[str, Any]] = [
        {"gs.R": 0.5, "gs.T": 0.1},
        {"gs.R": 0.5},  # one response is missing
        {"gs.R": math.nan, "gs.T": 0.1},
        {"gs.R": math.inf, "gs.T": 0.1},
        {"gs.R": "much", "gs.T": 0.1},
        {},
        {"gs.R": -2, "gs.T": 0},  # whole numbers are numbers
    ]
    for number, attributes in enumerate(told):
        trial = study.ask(DISTRIBUTIONS)
        assert trial.number == number
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        study.tell(trial, 0.0)
    failed = study.ask(DISTRIBUTIONS)
    failed.set_user_attr("gs.R", 0.0)
    study.tell(failed, state=TrialState.FAIL)
    outside = {"init_scale": 99.0, "depth": 3, "activation": "relu"}
    distributions = {**DISTRIBUTIONS, "init_scale": optuna.distributions.FloatDistribution(0.5, 400.0, log=True)}
    study.add_trial(
        create_trial(value=0.0, params=outside, distributions=distributions, user_attrs={"gs.R": 0.0, "gs.T": 0.0})
    )
    study.add_trial(create_trial(value=0.0, user_attrs={"gs.R": 0.0, "gs.T": 0.0}))
    asked(study, 1)
    assert measured(study) == (0, 6)


def test_enqueued_points_are_tried_as_given_and_believed(tmp_path):
    study = study_in(tmp_path)
    ask_and_tell(study, 24)
    given = {"init_scale": 1.75, "depth": 9, "activation": "tanh"}
    study.enqueue_trial(given)
    study.enqueue_trial({"depth": 11})
    assert asked(study, 1) == [given]
    assert asked(study, 1)[0]["depth"] == 11
    asked(study, 1)
    sampler = study.sampler
    assert isinstance(sampler, BoundarySampler)
    running = sampler.model.coordinates.points(sampler.history.running_BD)
    assert [point["depth"] for point in running[:2]] == [9, 11]


def test_running_trials_that_everybody_overtook_are_given_up(tmp_path):
    study = study_in(tmp_path)
    stale = asked(study, 2)
    sampler = study.sampler
    assert isinstance(sampler, BoundarySampler)
    ask_and_tell(study, 90)
    asked(study, 1)
    assert len(sampler.history.running_BD) == 2
    for _ in range(12):  # as of a person who brings results of their own
        point = sampler.model.coordinates.points(np.random.default_rng(_).random((1, 3)))[0]
        study.add_trial(
            create_trial(value=0.0, params=point, distributions=DISTRIBUTIONS, user_attrs={"gs.R": ratio_at(point)})
        )
    asked(study, 1)
    assert len(sampler.history.running_BD) == 1  # the one asked for above
    assert stale[0] != asked(study, 1)[0]


def test_a_tell_that_fails_in_between_changes_beliefs_only(tmp_path):
    study = study_in(tmp_path)
    ask_and_tell(study, 30)
    first = study.ask(DISTRIBUTIONS)
    study.tell(first, state=TrialState.FAIL)
    # nobody runs and nothing was told: the same point is as good as before
    assert asked(study, 1) == [first.params]
