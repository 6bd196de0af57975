"""`gradstab region`: what a person types, and what is answered for a study whose region is known."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gradstab.cli import cli
from gradstab.commands.terminal import WIDE
from gradstab.errors import UsageError
from gradstab.record.study_folder import StudyFolder
from gradstab.results.region_words import region_text
from gradstab.results.results import Results
from gradstab.study.axes import Choice, LogInteger, LogReal
from tests.report.planted import LAST_TRAINABLE, plant


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return plant(tmp_path_factory.mktemp("planted"), trials=240)


def ask(folder: StudyFolder, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["region", "planted", *arguments, "--results", str(folder.path.parent)])


@pytest.mark.parametrize("depth", [4, 8])
def test_intervals_are_those_that_were_planted(folder, depth):
    """|R| < 1 between sqrt(2) 10^(-1/(L-1)) and sqrt(2) 10^(1/(L-1)): the ends have |R| = 1 within .1 decades."""
    (line,) = Results(folder).region(depth=depth, activation="relu").lines
    (span,) = line.region
    for end, is_open, sign in ((span.low, span.low_open, -1), (span.high, span.high_open, 1)):
        planted = math.sqrt(2) * 10 ** (sign / (depth - 1))
        assert is_open == (not 0.5 < planted < 4)
        if not is_open:
            assert (depth - 1) * math.log10(float(end) / planted) == pytest.approx(0, abs=0.1)


def test_beyond_the_last_trainable_depth_nothing_is_safe(folder):
    found = Results(folder).region(depth=int(LAST_TRAINABLE) + 4, activation="relu")
    assert (found.lines[0].region, found.lines[0].safe, found.safe_share) == ((), (), 0.0)
    assert found.p_next < 0.05


def test_the_command_says_it_in_words_and_as_json(folder):
    told = ask(folder, "--at", "depth=8", "--at", "activation=relu")
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith("At depth 8 with relu, use init scale ")
    for word in ("240 trials", "init scale", "nearest cliff", "Nearest measured trials", "probability"):
        assert word in told.output
    found = json.loads(ask(folder, "--at", "depth=8", "--at", "activation=relu", "--format", "json").stdout)
    assert found["at"] == {"depth": 8, "activation": "relu"}
    assert found["lines"][0]["region"][0]["low"] == pytest.approx(math.sqrt(2) * 10 ** (-1 / 7), rel=0.05)
    assert len({trial["trial"] for trial in found["nearest"]}) == 5


def test_the_first_line_says_what_to_use(folder):
    told = ask(folder, "--at", "depth=8", "--at", "activation=relu").stdout.splitlines()[0]
    match = re.fullmatch(
        r"At depth 8 with relu, use init scale ([\d.]+)-([\d.]+) \(95 % of trainings succeed\). Best: ([\d.]+)\.", told
    )
    assert match is not None, told
    low, high, best = map(float, match.groups())
    assert math.sqrt(2) * 10 ** (-1 / 7) < low < best < high < math.sqrt(2) * 10 ** (1 / 7)


def test_the_first_lines_take_each_choice_that_is_left_open(folder):
    first, *choices = ask(folder, "--at", "depth=4").stdout.splitlines()[:3]
    assert first == "At depth 4, it depends on activation:"
    assert [line.partition(":")[0] for line in choices] == ["- relu", "- tanh"]


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ({"depth": 28, "activation": "relu"}, "no init scale is stable"),
        (
            {"depth": 4, "activation": "relu", "init_scale": 1.4},
            "At init scale 1.4, depth 4 with relu, 100 % of trainings succeed.",
        ),
        ({"init_scale": 1.4, "activation": "tanh"}, "depth up to"),
    ],
)
def test_the_first_line_where_there_is_no_interval_to_give(folder, at, words):
    assert words in str(Results(folder).region(**at)).splitlines()[0]


def test_python_prints_what_the_command_prints(folder):
    found = Results(folder).region(depth=8, activation="relu")
    told = ask(folder, "--at", "depth=8", "--at", "activation=relu").stdout
    assert str(found).split()[:20] == told.split()[:20]
    assert region_text(Results(folder), found, WIDE) + "\n" == told
    assert len(repr(found)) < 200


def test_the_answer_fits_into_80_columns_and_breaks_no_word(folder):
    text = str(Results(folder).region(depth=8))
    assert max(map(len, text.splitlines())) <= 80
    for word in ("relu", "verdict", "probability", "activation"):
        assert word in text


def test_a_wider_band_is_a_wider_interval(folder):
    ends = []
    for band in ("1", "2"):
        told = ask(folder, "--at", "depth=8", "--at", "activation=relu", "--format", "json", "--criterion",
                   f"ratio_band={band}", "--criterion", "responses=R")  # fmt: skip
        ends.append(json.loads(told.stdout)["lines"][0]["region"][0]["high"])
    assert ends == pytest.approx([math.sqrt(2) * 10 ** (1 / 7), math.sqrt(2) * 10 ** (2 / 7)], rel=0.05)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("depth=50", "outside what was searched, 2 to 30"),
        ("depth=abc", "must be a number"),
        ("depth=1e999", "finite number"),
        ("depth=nan", "finite number"),
        ("activation=gelu", "outside what was searched: relu, tanh"),
        ("width=32", "the study fixed width = 64"),
        ("widht=32", "did you mean 'width'"),
        ("lr=32", "did you mean 'learning_rate'"),
        ("activation=ReLU", "did you mean 'relu'"),
        ("depth", "AXIS=VALUE"),
        ("=3", "AXIS=VALUE"),
    ],
)
def test_what_makes_no_point_is_one_sentence(folder, place, words):
    told = ask(folder, "--at", place)
    assert isinstance(told.exception, UsageError)
    assert words in str(told.exception)
    assert "\n" not in str(told.exception)


def test_what_the_study_fixed_may_be_named(folder: StudyFolder, tmp_path: Path):
    assert ask(folder, "--at", "width=64", "--at", "depth=8").exit_code == 0
    assert isinstance(ask(folder, "--at", "depth=8", "--at", "depth=9").exception, UsageError)


def test_a_clip_threshold_without_clipping_has_no_line(tmp_path: Path):
    space = {
        "init_scale": LogReal(0.5, 4),
        "depth": LogInteger(2, 30),
        "clip": Choice((False, True)),
        "clip_threshold": LogReal(0.1, 10),
    }
    clipped = plant(tmp_path, trials=120, space=space, recipe={"activation": "relu"})
    told = ask(clipped, "--at", "depth=8", "--format", "json")
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)["lines"]
    assert [(line["axis"], line["held"]["clip"]) for line in found if line["axis"] == "clip_threshold"] == [
        ("clip_threshold", True)
    ]
    assert ask(clipped, "--at", "depth=8", "--at", "clip=false").exit_code == 0
    refused = ask(clipped, "--at", "clip=maybe").exception
    assert "clip = maybe lies outside what was searched: false, true" in str(refused)
