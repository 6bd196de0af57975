"""Whatever reads responses takes every response there is, and one that only this test knows."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from click.testing import CliRunner

from gradstab.cli import cli
from gradstab.errors import UsageError
from gradstab.loop.ports import Slot
from gradstab.loop.trial import Trial
from gradstab.record.certificate import read_certificate
from gradstab.record.segments import write_segment
from gradstab.record.shipping_order import ShippingOrder, save_order
from gradstab.record.study_folder import StudyFolder
from gradstab.record.trajectory import Trajectory
from gradstab.report.report import make_report
from gradstab.results.rejudge import rejudged
from gradstab.results.results import Results
from gradstab.results.trial_rows import measured_trials
from gradstab.search.history import History
from gradstab.search.searcher import OptunaSearcher
from gradstab.stability.judgement import judge
from gradstab.study.criterion import Criterion
from gradstab.study.responses.registry import RESPONSES, default_letters
from gradstab.study.responses.response import Response
from gradstab.study.study import Study
from gradstab.tracking import keys
from gradstab.tracking.metric_names import MetricNames
from gradstab.tracking.mlflow_client import prepare_environment
from gradstab.tracking.run_content import run_content
from tests.fakes import REFERENCE_LOSS, make_record, make_trajectory
from tests.fakes_regions import open_loop
from tests.tracking.notebook import parent_of, ship, trials_of

NEW = Response(
    letter="A",
    name="activation_growth",
    unit_name="decades",
    title="A, the growth of activations at initialisation",
    meaning="the growth of activations at initialisation",
    where="activations keep their size",
    statistics=("log10_activation_ms",),
    read=lambda training, _: (
        0.5 * float(training["log10_activation_ms"][0, -1] - training["log10_activation_ms"][0, 0])
    ),
    band=lambda _: (-0.5, math.inf),
    unit=lambda _: 0.5,
    formula=lambda _: "A > -0.5 decades",
    sentence=lambda _: "activations shrink by less than 0.5 decades",
    low_side="shrinking",
    colour="#332288",
)
LETTERS = (*RESPONSES, NEW.letter)
SPACE = {
    "init_scale": {"type": "log_real", "low": 0.5, "high": 4.0},
    "learning_rate": {"type": "log_real", "low": 0.001, "high": 1.0},
}


def planted(recipe: Any, seed: int) -> Trajectory:
    """A training whose responses all change sides within the space: most with the init scale, T with the rate."""
    scale, rate = math.log2(recipe.init_scale), math.log10(recipe.learning_rate)
    trajectory = make_trajectory(recipe, seed=seed, decades_per_layer=0.4 * (scale - 0.5))
    series = dict(trajectory.series)
    layer_L = np.arange(recipe.depth) / (recipe.depth - 1)
    series["log10_activation_ms"] = np.tile((scale - 1) * layer_L, (len(trajectory.probe_step_P), 1)).astype("float32")
    loss = 0.5 * REFERENCE_LOSS * 10 ** (0.3 * (rate + 1.5))
    series["loss"] = np.full_like(series["loss"], loss)
    return replace(trajectory, series=series)


class PlantedWork:
    """Trains nothing: every trial is planted."""

    def run(self, trials: Sequence[Trial], slot: Slot) -> list[Trajectory]:
        return [planted(trial.recipe, trial.seed % 2**32) for trial in trials]


@pytest.fixture(scope="module", params=LETTERS)
def letter(request: pytest.FixtureRequest) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RESPONSES, NEW.letter, NEW)
        yield str(request.param)


@pytest.fixture(scope="module")
def folder(letter: str, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A finished study whose criterion counts that response alone, with a sampler and audits that look at it."""
    root = tmp_path_factory.mktemp(f"study-{letter}")
    study = Study.model_validate(
        {
            "name": "planted", "question": "Is it found?", "space": SPACE, "recipe": {"steps": 4},
            "criterion": {"responses": [RESPONSES[letter].name]}, "sampler": {"type": "boundary", "batch": 8},
            "stop": {"error": 0.02}, "budget": {"trials": 48},
        }
    )  # fmt: skip
    folder = StudyFolder.of(root, "planted")
    folder.path.mkdir()
    folder.claim(study, None)
    runner, searcher = open_loop(study, folder.path, PlantedWork())
    runner.recover()
    runner.run()
    assert isinstance(searcher, OptunaSearcher)
    searcher.close()
    return folder


def test_the_study_stores_the_letter(folder: StudyFolder, letter: str) -> None:
    assert folder.study().criterion.responses == (letter,)
    assert json.loads(folder.declaration.read_text())["study"]["criterion"]["responses"] == [letter]


def test_judgement_margin_and_band_agree(folder: StudyFolder, letter: str) -> None:
    study = folder.study()
    (band,) = study.bands()
    judgements = [trial.judgement for _, trial in measured_trials(Results(folder).rows)]
    margins = [judgement.margin for judgement in judgements]
    values = [judgement.responses[letter] for judgement in judgements]
    assert band.name == letter
    assert [margin > 0 for margin in margins] == band.contains(np.array(values, dtype=float)).tolist()
    assert 0 < sum(margin > 0 for margin in margins) < len(margins), "the plan has both sides"


def test_optuna_holds_every_response_and_the_sampler_looks_at_this_one(folder: StudyFolder, letter: str) -> None:
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(f"{folder.path}/optuna.journal")
    )
    study = optuna.load_study(study_name="planted", storage=storage)
    assert len(study.trials) == 48
    judged = {row.number: trial.judgement for row, trial in measured_trials(Results(folder).rows)}
    for trial in study.trials:
        judgement = judged[trial.number]
        held = {name.removeprefix("gs."): value for name, value in trial.user_attrs.items() if name[3:] in RESPONSES}
        assert held == {name: value for name, value in judgement.responses.items() if value is not None}
        assert trial.value == judgement.margin
    history = History(folder.study().space, folder.study().bands())
    history.read(study)
    assert sorted(history.measured.responses) == [letter]
    told = dict(zip(history.measured.numbers, history.measured.responses[letter].tolist(), strict=True))
    assert told == {number: judgement.responses[letter] for number, judgement in judged.items()}


def test_the_certificate_speaks_of_it(folder: StudyFolder) -> None:
    certificate = read_certificate(folder.path)
    assert certificate is not None
    assert certificate.misclassified_volume < 0.2


def test_the_table_of_trials_has_its_readable_name_and_takes_its_letter(folder: StudyFolder, letter: str) -> None:
    trials, name = Results(folder).trials, RESPONSES[letter].name
    assert name in trials.columns
    assert letter not in trials.columns
    assert trials[letter].tolist() == trials[name].tolist()
    assert len(trials.query(f"{letter} > 0")) == int((trials[name] > 0).sum()) > 0
    assert trials[trials[letter] > 0][[letter, "verdict"]].columns.tolist() == [name, "verdict"]


def test_the_report_shows_it(folder: StudyFolder, letter: str, tmp_path: Path) -> None:
    page = make_report(Results(folder), tmp_path / "report").read_text(encoding="utf-8")
    response, criterion = RESPONSES[letter], folder.study().criterion
    assert response.title in page
    assert response.formula(criterion).replace("<", "&lt;").replace(">", "&gt;") in page
    region = json.loads((tmp_path / "report" / "region.json").read_text(encoding="utf-8"))
    assert next(iter(region["regions"])) == letter
    assert (tmp_path / "report" / f"phase_{letter}.png").stat().st_size > 1000


@pytest.mark.parametrize("form", ["table", "json"])
def test_the_region_verb_speaks_of_it(folder: StudyFolder, letter: str, form: str) -> None:
    place = ["--at", "learning_rate=0.05", "--format", form, "--results", str(folder.path.parent)]
    ended = CliRunner().invoke(cli, ["region", "planted", *place], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    assert letter in ended.output


def test_mlflow_shows_it_under_its_readable_name(
    folder: StudyFolder, letter: str, tmp_path: Path, empty_database: Path
) -> None:
    study = folder.study()
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    order = ShippingOrder(
        study="planted", study_id=folder.study_id(), uri=f"sqlite:///{tmp_path / 'mlflow.db'}",
        artifact_root=str(tmp_path / "artifacts"), question="?", study_file="study.json", resolved=study.dump(),
        versions={}, criterion=study.criterion, budget=48, child_runs=2, updated_ms=1_700_000_000_000,
    )  # fmt: skip
    save_order(folder.path, order)
    prepare_environment()
    assert ship(folder.path) == 0
    response = RESPONSES[letter]
    for run in trials_of(folder.path).values():
        assert response.name in {key for key, *_ in run.rows}
    note = parent_of(folder.path).data.tags["mlflow.note.content"]
    assert f"| trial | margin | {response.name} | init_scale | learning_rate | verdict |" in note


def test_the_page_of_keys_has_a_line_for_it(letter: str) -> None:
    response = RESPONSES[letter]
    assert f"| `{response.name}` | {response.unit_name} | {letter}, " in keys.page()


def test_another_study_can_be_judged_by_it(letter: str, tmp_path: Path) -> None:
    folder = StudyFolder.of(tmp_path, "other")
    folder.path.mkdir()
    study = Study.model_validate({"name": "other", "question": "?", "space": SPACE, "budget": {"trials": 30}})
    folder.claim(study, None)
    scales = np.geomspace(0.5, 4, 30)
    records = [make_record(n, point={"init_scale": scale, "learning_rate": 0.1}) for n, scale in enumerate(scales)]
    write_segment(folder.path, 0, records)
    results = Results(folder, rejudged(study.criterion, [f"responses={letter}"]))
    assert results.judged_by == (letter,)
    assert set(results.measured.responses) == {*default_letters(trained=True), letter}


def test_a_response_whose_statistic_was_not_recorded_is_absent_and_cannot_be_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    later = replace(NEW, statistics=("later",), read=lambda training, _: float(training["later"][0]))
    monkeypatch.setitem(RESPONSES, later.letter, later)
    record = make_record(0)
    assert record.trajectory is not None
    judgement = judge(record.trajectory, Criterion())
    assert judgement.responses["A"] is None
    study = Study.model_validate({"name": "s", "question": "?", "space": SPACE, "budget": {"trials": 1}})
    order = ShippingOrder(
        study="s", study_id="id", uri="sqlite:////none", study_file="s", resolved=study.dump(), versions={},
        criterion=study.criterion, budget=1, updated_ms=0,
    )  # fmt: skip
    assert later.name not in {row.key for row in run_content(record, judgement, order, MetricNames()).metrics}
    with pytest.raises(UsageError, match="counts A, but a trial has no A: it was recorded without the statistic later"):
        judge(record.trajectory, Criterion(responses=("A",)))
