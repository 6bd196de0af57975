"""What a study recommends, against planted truth; the same sentences wherever they are shown; plans that can be read."""

from __future__ import annotations

import json
import math
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import lognorm

from gradstab.cli import cli
from gradstab.errors import UsageError
from gradstab.record.study_folder import StudyFolder
from gradstab.report.report import make_report
from gradstab.results.recommending.recommendation import Recommendation
from gradstab.results.results import Results
from gradstab.study.axes import Choice, LogInteger, LogReal, Value
from gradstab.study.file import load_study_file
from gradstab.study.study import Study
from tests.report.planted import plant
from tests.results.planted_rates import CLIPS, NORMS, PER_DEPTH, TANH, largest_safe_rate, plant_points, plant_rates


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recommended")


@pytest.fixture(scope="module")
def rates(root: Path) -> StudyFolder:
    return plant_rates(root)


@pytest.fixture(scope="module")
def clips(root: Path) -> StudyFolder:
    return plant_rates(root, name="clips", space=CLIPS)


@pytest.fixture(scope="module")
def told(rates: StudyFolder) -> Recommendation:
    return Results(rates).recommend("learning_rate", activation="relu", depth=16)


def invoke(root: Path, *arguments: str) -> Any:
    return CliRunner().invoke(cli, ["recommend", *arguments, "--results", str(root)])


def test_the_largest_safe_rate_is_the_planted_one(told):
    end = told.largest
    assert end is not None
    truth = largest_safe_rate({"depth": 16, "activation": "relu"})
    assert end.held == {"depth": 16, "activation": "relu"}
    assert float(end.value or 0) == pytest.approx(truth, rel=0.3)
    assert float(end.high or 0) / float(end.low or 1) < 2
    assert told.sentences[0].startswith("Largest safe learning rate at depth 16, activation relu: ")
    assert "90 % interval" in told.sentences[0]
    assert "from 300 trials" in told.sentences[0]


def test_its_intervals_hold_the_truth_at_most_places(told):
    (depth,) = [move for move in told.moves if move.axis == "depth"]
    inside = [
        float(end.low or 0) <= largest_safe_rate(end.held) <= float(end.high or math.inf) for _, end in depth.levels
    ]
    assert sum(inside) >= len(inside) - 2, inside


def test_how_it_moves_is_said_for_each_other_axis(told):
    by_name = {move.axis: move for move in told.moves}
    slope = by_name["depth"].slope
    assert slope is not None
    assert slope.low <= PER_DEPTH <= slope.high
    relu, tanh = (float(end.value or 0) for _, end in by_name["activation"].levels)
    assert tanh / relu == pytest.approx(TANH, rel=0.3)
    assert any(
        sentence.startswith("With each doubling of depth it is multiplied by 0.5") for sentence in told.sentences
    )
    assert any(sentence.startswith("By activation: relu ") for sentence in told.sentences)


def test_the_threshold_acts_on_two_per_cent_of_the_planted_norms(clips):
    clip = Results(clips).recommend().clip
    assert clip is not None
    assert clip.threshold == pytest.approx(lognorm.ppf(0.98, NORMS[1], scale=math.exp(NORMS[0])), rel=0.1)
    assert clip.share == pytest.approx(0.02, abs=0.001)
    assert not clip.clipped
    last = clip.along[-1]
    assert last.quantiles[0] == pytest.approx(math.exp(NORMS[0]), rel=0.05)
    assert (clip.along[0].first, last.last) == (0, 39)
    high = [band for band in clip.tried if band.low > 30]
    assert all(band.acted == 0 for band in high)
    assert clip.tried[0].acted == pytest.approx(1, abs=0.05)


def test_clipping_saves_what_was_planted(clips):
    """With clipping the largest rate is ten times as high, at every threshold."""
    results = Results(clips)
    clip = results.recommend().clip
    assert clip is not None
    assert clip.saved is not None
    diverged = [row.point for row in results.rows if row.verdict == "diverged" and not row.point["clip"]]
    truth = sum(float(point["learning_rate"]) < largest_safe_rate({**point, "clip": True}) for point in diverged)
    assert clip.saved.of == clip.num_diverged == len(diverged)
    assert clip.counted == "region"
    assert abs(clip.saved.number - truth) <= 4
    assert clip.cost is not None
    assert clip.cost.high < 0


def test_pairs_are_counted_where_the_study_holds_them(tmp_path):
    study = Study.model_validate(
        {
            "name": "pairs", "question": "?", "recipe": {"steps": 40, "clip_threshold": 3.0},
            "space": {"learning_rate": LogReal(1e-3, 10.0), "clip": Choice((False, True))},
            "criterion": {"responses": ["T"]}, "budget": {"trials": 80},
        }
    )  # fmt: skip
    points: list[dict[str, Value]] = [
        {"learning_rate": float(rate), "clip": clip} for rate in np.geomspace(1e-3, 10, 40) for clip in (False, True)
    ]
    results = Results(plant_points(tmp_path, study, points))
    clip = results.recommend().clip
    assert clip is not None
    assert clip.saved is not None
    assert clip.counted == "pairs"
    diverged = [
        float(row.point["learning_rate"]) for row in results.rows if row.verdict == "diverged" and not row.point["clip"]
    ]
    assert clip.saved.of == len(diverged)
    expected = sum(rate < largest_safe_rate({"clip": True}) for rate in diverged)
    assert abs(clip.saved.number - expected) <= 1
    assert clip.threshold == 3.0
    assert "counted in pairs of equal points" in " ".join(results.recommend().sentences)


@pytest.mark.usefixtures("undrawn")
def test_terminal_python_page_and_data_say_the_same(root, rates):
    results = Results(rates)
    found = results.recommend()
    shown = invoke(root, "rates")
    assert shown.exit_code == 0, shown.output
    flat = " ".join(shown.stdout.split())
    lines = [line for sentence in found.sentences for line in sentence.splitlines()]
    assert [line.partition(":")[0] for line in lines if line.startswith("- ")] == ["- relu", "- tanh"]
    for line in lines:
        assert line in flat
        assert line in " ".join(str(found).split())
        assert f"<li>{line.removeprefix('- ')}" in unescape(found._repr_html_())
    data = json.loads(invoke(root, "rates", "--format", "json").stdout)
    assert data["sentences"] == list(found.sentences)
    assert found.largest is not None
    assert data["largest"]["value"] == found.largest.value
    assert data["needs"][0]["axes"]["clip"]["choices"] == [False, True]
    page = make_report(results)
    assert "What should I set?" in page.read_text()
    assert all(f"<li>{line.removeprefix('- ')}" in unescape(page.read_text()) for line in lines)
    assert json.loads((page.parent / "region.json").read_text())["recommended"] == list(found.sentences)


def test_the_table_holds_every_figure(told):
    table = told.to_frame().set_index("what")
    assert table.loc["slope of largest safe learning_rate", "value"] == told.moves[0].slope.per_decade
    assert table.loc["clip threshold", "value"] == told.clip.threshold
    first = table.iloc[0]
    assert (first["value"], first["low"], first["high"], first["n"]) == (
        told.largest.value, told.largest.low, told.largest.high, 300,
    )  # fmt: skip


def test_scale_and_depth_are_said_in_the_words_of_region(tmp_path):
    results = Results(plant(tmp_path, trials=120))
    sentences = results.recommend(activation="relu").sentences
    region = str(results.region(activation="relu"))
    first_line = region.partition("\n\n")[0].replace("\n", " ")
    assert first_line in sentences
    assert "where it is safest" in first_line
    assert any("depth up to" in sentence for sentence in sentences)
    assert any("axis learning_rate from 0.002 to 0.5" in each for each in sentences)


def test_a_plan_adds_the_axes_and_reads_back(root, rates, tmp_path):
    path = tmp_path / "more.yaml"
    shown = invoke(root, "rates", "--plan", str(path))
    assert shown.exit_code == 0, shown.output
    planned, study = load_study_file(path), rates.study()
    assert planned.name == "rates-plan"
    assert set(planned.space.names()) == {*study.space.names(), "clip", "clip_threshold"}
    assert planned.budget.trials == 600
    assert planned.recipe.steps == study.recipe.steps
    assert planned == Results(rates).recommend().plan()
    again = invoke(root, "rates", "--plan", str(path))
    assert "exists" in str(again.exception)
    assert "Largest" not in again.output, "it is refused before anything is fitted"
    wrong = invoke(root, "rates", "--plan", str(tmp_path / "more.py"))
    assert "must be a .yaml file" in str(wrong.exception)


def test_where_only_trials_are_lacking_the_plan_continues_the_study(tmp_path):
    few = plant_rates(tmp_path, trials=24, name="few", space={**CLIPS, "depth": LogInteger(2, 32)})
    found = Results(few).recommend()
    assert [need.axes for need in found.needs] == [{}]
    planned = found.plan()
    assert planned is not None
    assert planned.name == "few"
    assert planned.budget.trials > 24
    assert planned.fingerprint() == few.study().fingerprint()


def test_a_search_that_ends_too_soon_is_extended(tmp_path):
    low = plant_rates(tmp_path, trials=60, name="low", space={"learning_rate": LogReal(1e-3, 0.1)})
    found = Results(low).recommend()
    assert found.largest is not None
    assert found.largest.high_open
    assert "the largest that was searched" in found.sentences[0]
    planned = found.plan()
    assert planned is not None
    axis = planned.space.axes["learning_rate"]
    assert isinstance(axis, LogReal)
    assert (axis.low, axis.high) == (1e-3, 1.0)


def test_nothing_to_plan_writes_nothing(root, clips, tmp_path):
    shown = invoke(root, "clips", "--plan", str(tmp_path / "none.yaml"))
    assert shown.exit_code == 0, shown.output
    assert "the trials suffice" in shown.output
    assert not list(tmp_path.iterdir())


def test_a_study_without_training_says_nothing_of_rates_and_clipping(tmp_path):
    untrained = plant(tmp_path, trials=80, recipe={"steps": 0}, space={"init_scale": LogReal(0.5, 4.0)})
    found = Results(untrained).recommend()
    assert (found.largest, found.clip, found.needs) == (None, None, ())
    assert "init scale" in " ".join(found.sentences)


def test_a_given_learning_rate_is_not_asked_for(rates):
    found = Results(rates).recommend(learning_rate=0.01)
    assert found.largest is None
    assert not any("learning rate is not known" in sentence for sentence in found.sentences)
    assert any(sentence.startswith("At learning rate 0.01") for sentence in found.sentences)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--largest", "activation"], "must be an axis with numbers"),
        (["--largest", "lerning_rate"], "did you mean 'learning_rate'"),
        (["--largest", "depth", "--at", "depth=4"], "leave out --at depth"),
        (["--at", "depth=400"], "lies outside what was searched"),
        (["--at", "depth"], "must be AXIS=VALUE"),
        (["--criterion", "nonsense=1"], "FIELD=VALUE"),
    ],
)
def test_bad_input_ends_in_one_sentence(root, rates, arguments, words):
    shown = invoke(root, "rates", *arguments)
    assert shown.exit_code != 0
    assert isinstance(shown.exception, UsageError | SystemExit)
    assert words in f"{shown.output}{shown.exception}"


def test_an_axis_that_needs_a_choice_takes_it_by_itself(clips):
    results = Results(clips)
    end = results.recommend("clip_threshold").largest
    assert end is not None
    assert end.held["clip"] is True
    with pytest.raises(UsageError, match="has no effect where clip"):
        results.recommend("clip_threshold", clip=False)


def test_from_too_few_trials_no_rate_is_told(tmp_path):
    found = Results(plant_rates(tmp_path, trials=12, name="twelve")).recommend()
    assert found.largest is None
    assert found.sentences[-1] == "The largest safe learning rate is not known from 12 trials: it takes about 200."
    planned = found.plan()
    assert planned is not None
    assert (planned.name, planned.budget.trials) == ("twelve", 200)


def test_a_sampler_that_cannot_search_a_choice_gives_way(tmp_path):
    space = {"learning_rate": LogReal(1e-3, 10.0), "init_scale": LogReal(0.5, 4)}
    found = Results(plant_rates(tmp_path, trials=60, name="cma", space=space, sampler={"type": "cmaes"})).recommend()
    planned = found.plan()
    assert planned is not None
    assert "clip" in planned.space.names()
    assert planned.sampler.type == "sobol"
