"""The answer in plain sentences, of studies whose region is known; the same sentences wherever they are shown."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from click.testing import CliRunner

from gradstab.cli import cli
from gradstab.record.study_folder import StudyFolder
from gradstab.report.report import make_report
from gradstab.results.answer import _below_safe_text, answer_lines
from gradstab.results.known_answer import known_answer
from gradstab.results.results import Results
from gradstab.study.axes import Choice, LogInteger, LogReal
from gradstab.study.criterion import Criterion
from tests.report.planted import LAST_TRAINABLE, plant


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return plant(tmp_path_factory.mktemp("answered"), trials=240)


def test_each_choice_has_its_interval_and_its_depth(folder):
    """Planted: |R| < 1 between sqrt(2) 10^(-+1/(L-1)), and relu trains to 12 layers, tanh to 6."""
    lead, relu, tanh, nowhere = answer_lines(Results(folder))
    assert "above 95 %" in lead
    assert "|R| < 1 decade" in lead
    found = re.fullmatch(
        r"relu: init scale safe from ([\d.]+) to ([\d.]+) at 7 layers, up to (\d+) layers deep\.", relu
    )
    assert found is not None, relu
    low, high, deepest = map(float, found.groups())
    assert 2**0.5 * 10 ** (-1 / 6) < low < 2**0.5 < high < 2**0.5 * 10 ** (1 / 6)
    assert LAST_TRAINABLE - 3 <= deepest <= LAST_TRAINABLE
    assert re.match(r"tanh: not safe at 7 layers \([\d.]+ % at best\); init scale safe ", tanh), tanh
    assert int(tanh.rpartition("safe up to ")[2].split()[0]) <= LAST_TRAINABLE / 2
    assert nowhere == "Nothing was found safe at 30 layers, the deepest that were searched."


def test_a_study_without_depths_and_one_without_numbers(tmp_path):
    line = plant(
        tmp_path, trials=60, name="line", space={"init_scale": LogReal(0.5, 4.0)}, recipe={"activation": "relu"}
    )
    (_, told) = answer_lines(Results(line))
    assert re.fullmatch(r"Init scale safe from [\d.]+ to [\d.]+\.", told), told
    space = {"activation": Choice(("relu", "tanh"))}
    words = plant(tmp_path, trials=40, name="words", space=space, recipe={"init_scale": 1.4, "depth": 8})
    _, relu, tanh = answer_lines(Results(words))
    assert relu.startswith("relu: safe, ")
    assert tanh.startswith("tanh: not safe, ")


def test_where_all_trainings_succeeded_that_is_said_first(tmp_path):
    space = {"init_scale": LogReal(1.38, 1.45), "depth": LogInteger(2, 9), "activation": Choice(("relu", "tanh"))}
    _, relu, tanh, *_ = answer_lines(Results(plant(tmp_path, trials=60, space=space)))
    found = re.match(r"relu: all (\d+) trainings succeeded\. Of one more the model says: init scale safe ", relu)
    assert found is not None, relu
    assert 20 <= int(found[1]) < 60
    assert "trainings succeeded. Of one more" not in tanh
    alone = {**space, "activation": Choice(("relu",))}
    few, enough = (Results(plant(tmp_path, trials=n, space=alone, name=f"n-{n}")) for n in (19, 20))
    assert "all 19" not in " ".join(answer_lines(few))
    assert "all 20 trainings succeeded. Of one more" in " ".join(answer_lines(enough))


def test_just_below_safe_is_not_rounded_to_it():
    assert _below_safe_text(0.949) == "just below 95 %"
    assert _below_safe_text(0.61) == "61 % at best"


def test_an_axis_without_effect_is_no_choice(tmp_path):
    space = {
        "init_scale": LogReal(0.5, 4), "depth": LogInteger(2, 30), "clip": Choice((False, True)),
        "clip_threshold": LogReal(0.1, 10), "clip_mode": Choice(("norm", "value")),
    }  # fmt: skip
    _, *told = answer_lines(Results(plant(tmp_path, trials=120, space=space, recipe={"activation": "relu"})))
    labels = [sentence.partition(":")[0] for sentence in told if ":" in sentence]
    assert labels == ["clip off", "clip on, norm", "clip on, value"]
    assert "clip threshold" not in told[0]
    assert "clip threshold" in told[1], "where the other axes are held is said"


def test_few_trials_give_an_answer_too(tmp_path):
    for trials in (1, 3):
        assert len(answer_lines(Results(plant(tmp_path, trials=trials, name=f"few-{trials}")))) >= 3


@pytest.mark.usefixtures("undrawn")
def test_page_notebook_script_and_terminal_say_the_same(tmp_path):
    planted = plant(tmp_path, trials=60)
    assert known_answer(Results(planted)) == [], "there is no report yet"
    page = make_report(Results(planted))
    results = Results(planted)
    told = answer_lines(results)
    assert known_answer(results) == told == results.answer()
    assert json.loads((page.parent / "region.json").read_text())["answer"] == told
    for html in (page.read_text(), results._repr_html_()):
        assert all(sentence in unescape(html) for sentence in told)
    shown = CliRunner().invoke(cli, ["run", "planted", "--results", str(tmp_path), "--trials", "10"])
    assert shown.exit_code == 0, shown.output
    for sentence in told:
        assert sentence in shown.stdout


@pytest.mark.usefixtures("undrawn")
def test_an_answer_of_another_criterion_or_of_older_trials_is_not_taken(tmp_path):
    planted = plant(tmp_path, trials=40)
    page = make_report(Results(planted))
    assert known_answer(Results(planted, Criterion(ratio_band=0.5))) == []
    region = page.with_name("region.json")
    region.write_text("{}")
    assert known_answer(Results(planted)) == [], "an older version's report has none"
