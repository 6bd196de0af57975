"""A study that stops when its region is certified: real loop, real Optuna, planted regions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradstab.loop.progress import Progress
from gradstab.record.certificate import read_certificate
from gradstab.stability.certificate import NUM_AUDITS, REPLICATED_POINTS, TRAININGS_A_POINT
from gradstab.study.study import Study
from tests import problems
from tests.fakes_regions import open_study, study_of
from tests.loop.test_runner import assert_complete, recorded, stored
from tests.problems import Problem

EASY = problems.half_plane().noisy(0.2)
STOP = {"stop": {"error": 0.02}}


def run(study: Study, folder: Path, problem: Problem = EASY) -> Progress:
    runner, searcher = open_study(study, folder, problem)
    runner.recover()
    progress = runner.run()
    searcher.close()
    return progress


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    folder = tmp_path_factory.mktemp("certified")
    study = study_of(EASY, budget={"trials": 400}, **STOP)
    run(study, folder)
    return study, folder


def test_it_ends_before_its_budget_with_nothing_left_running(certified):
    study, folder = certified
    certificate = read_certificate(folder)
    assert certificate is not None
    assert certificate.certified
    assert certificate.num_trials == len(recorded(folder)) < 300
    assert {trial.state.name for trial in stored(study, folder)} == {"COMPLETE"}


def test_run_again_it_stays_certified_and_trains_nothing(certified):
    study, folder = certified
    before = read_certificate(folder)
    assert run(study, folder).new == 0
    assert run(study_of(EASY, budget={"trials": 800}, **STOP), folder).new == 0
    assert read_certificate(folder) == before


def test_while_it_runs_it_knows_the_region_if_its_search_models_one(tmp_path):
    unit_MD = np.random.default_rng(0).random((20_000, 2))
    for name, changes in (("boundary", {}), ("audited", {"sampler": {"type": "sobol"}, **STOP})):
        study = study_of(EASY, name=name, budget={"trials": 100}, **changes)
        found = run(study, tmp_path / name).region
        assert found is not None
        assert 80 < found.num_trials <= 100
        assert found.volume == pytest.approx(EASY.inside(unit_MD).mean(), abs=0.03)
        assert found.misclassified < 0.05
    design = study_of(EASY, name="design", budget={"trials": 40}, sampler={"type": "sobol"})
    assert run(design, tmp_path / "design").region is None


def test_without_a_stop_the_same_study_goes_on(certified, tmp_path):
    study = study_of(EASY, budget={"trials": 40})
    assert run(study, tmp_path).new == 40
    assert read_certificate(tmp_path) is None
    assert not any("gs.audit" in trial.user_attrs for trial in stored(study, tmp_path))


def test_forecasts_are_frozen_when_they_are_asked_and_audits_lie_anywhere(certified):
    study, folder = certified
    trials = stored(study, folder)
    audits = [trial for trial in trials if trial.user_attrs.get("gs.audit")]
    assert len(audits) >= NUM_AUDITS
    unit_ND = EASY.coordinates.unit([trial.params for trial in audits])
    assert ((unit_ND.mean(axis=0) > 0.35) & (unit_ND.mean(axis=0) < 0.65)).all()
    forecast_N = np.array([trial.user_attrs["gs.p_region"] for trial in audits])
    inside_N = np.array([trial.user_attrs["gs.T"] < 0 for trial in audits])
    assert np.abs(forecast_N - inside_N).mean() < 0.1
    # the model was good enough from some audit on, and before that only one in ten was one
    claimed_N = np.array([trial.user_attrs["gs.expected_error"] for trial in audits])
    until = next(trial.number for trial, claimed in zip(audits, claimed_N, strict=True) if claimed < 0.02)
    assert sum(trial.number < until for trial in audits) <= 0.3 * until


def test_twenty_audit_points_are_trained_with_two_more_seeds(certified):
    study, folder = certified
    trials = stored(study, folder)
    originals = [trial.user_attrs["gs.replicate_of"] for trial in trials if "gs.replicate_of" in trial.user_attrs]
    assert len(originals) == REPLICATED_POINTS * (TRAININGS_A_POINT - 1)
    assert len(set(originals)) == REPLICATED_POINTS
    seeds = {record.number: record.seed for record in recorded(folder)}
    assert len(set(seeds.values())) == len(seeds)
    for trial in trials:
        if "gs.replicate_of" in trial.user_attrs:
            original = trials[trial.user_attrs["gs.replicate_of"]]
            assert original.user_attrs["gs.audit"]
            assert trial.params == original.params
            assert trial.user_attrs["gs.T"] != original.user_attrs["gs.T"]


def test_cut_off_and_continued_it_is_the_same_study(certified, tmp_path):
    study, folder = certified
    for trials in (30, 77, 101):
        run(study_of(EASY, budget={"trials": trials}, **STOP), tmp_path)
    run(study, tmp_path)
    for mine, other in zip(stored(study, tmp_path)[:30], stored(study, folder), strict=False):
        assert mine.params == other.params
    certificate = read_certificate(tmp_path)
    assert certificate is not None
    assert certificate.certified


@pytest.mark.parametrize("changes", [{"sampler": {"type": "sobol"}}, {"replicates": 3}], ids=["sobol", "replicates"])
def test_any_sampler_can_be_stopped_and_replicates_count_as_trainings(tmp_path, changes):
    study = study_of(EASY, budget={"trials": 400}, **STOP, **changes)
    run(study, tmp_path)
    certificate = read_certificate(tmp_path)
    assert certificate is not None
    assert certificate.certified
    assert certificate.num_trials < 400
    again = any("gs.replicate_of" in trial.user_attrs for trial in stored(study, tmp_path))
    assert again == (study.replicates < TRAININGS_A_POINT)


def test_a_budget_that_ends_first_leaves_it_not_certified_and_says_why(tmp_path):
    study = study_of(EASY, budget={"trials": 60}, **STOP)
    run(study, tmp_path)
    assert_complete(study, tmp_path)
    certificate = read_certificate(tmp_path)
    assert certificate is not None
    assert not certificate.certified
    assert {condition.name for condition in certificate.conditions if not condition.holds} <= {"audits", "noise"}
    assert certificate.verdict().startswith("not certified after 60 trials, because of audits: ")


def test_a_boundary_that_is_rough_at_every_scale_is_not_certified(tmp_path):
    """3 % of it may be wrong, and the model believes that it is less; the truth is 5 to 8 %."""
    problem = problems.rough().noisy(0.2)
    study = study_of(problem, budget={"trials": 260}, stop={"error": 0.03})
    run(study, tmp_path, problem)
    certificate = read_certificate(tmp_path)
    assert certificate is not None
    assert not certificate.certified
    noise = next(condition for condition in certificate.conditions if condition.name == "noise")
    assert "fitted" in noise.sentence  # it was looked at, and not merely wanting trials
    assert not noise.holds
