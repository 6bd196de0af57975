"""Two studies compared: planted regions whose volumes and difference are known, and spaces that share nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from gradstab.cli import cli
from gradstab.errors import UsageError
from gradstab.regression.coordinates import Coordinates
from gradstab.report.overlay import make_comparison
from gradstab.results.results import Results
from gradstab.stability.comparison import common_space, volume_difference, within
from gradstab.stability.region import Volume
from gradstab.study.axes import AnyAxis, Choice, Integer, LogInteger, LogReal, Real
from gradstab.study.space import SearchSpace
from tests.report.planted import plant, true_volume

NARROWER: dict[str, AnyAxis] = {
    "init_scale": LogReal(0.7, 8.0), "depth": LogInteger(2, 20), "activation": Choice(("tanh", "relu", "gelu")),
}  # fmt: skip


def space(**axes: AnyAxis) -> SearchSpace:
    return SearchSpace.model_validate(axes)


def test_the_difference_of_planted_regions_is_within_its_interval(tmp_path):
    """The second study searched another range of the same region: over the space that they share they are one."""
    first, second = plant(tmp_path, trials=240, name="one"), plant(tmp_path, trials=240, name="two", space=NARROWER)
    page = make_comparison(Results(first), Results(second))
    assert page.parent == first.path / "report-against-two"
    found = json.loads((page.parent / "comparison.json").read_text())
    shared = space(init_scale=LogReal(0.7, 4.0), depth=LogInteger(2, 20), activation=Choice(("relu", "tanh")))
    truth = true_volume(plant(tmp_path, trials=0, name="shared", space=dict(shared.items())), "R", "T")
    for each in ("first", "second"):
        assert found[each]["estimate"] == pytest.approx(truth, abs=0.03)
    assert found["difference"]["low"] - 0.01 < 0 < found["difference"]["high"] + 0.01
    assert found["both"] + found["only_first"] == pytest.approx(found["first"]["estimate"], abs=1e-9)
    html = page.read_text()
    assert "<script" not in html
    assert "space.depth.high: 30 -&gt; 20" in html
    assert (page.parent / "regions.png").stat().st_size > 10_000


def test_the_difference_has_the_spread_of_both():
    found = volume_difference(Volume(0.3, 0.26, 0.33), Volume(0.5, 0.47, 0.54))
    assert found.estimate == pytest.approx(0.2)
    assert found.low == pytest.approx(0.2 - math.hypot(0.03, 0.03))
    assert found.high == pytest.approx(0.2 + math.hypot(0.04, 0.04))


def test_units_of_the_shared_space_are_the_same_values_in_each():
    outer = Coordinates(
        space(init_scale=LogReal(0.1, 10.0), depth=Integer(1, 9), bias_scale=Real(0, 2), activation=Choice(("a", "b", "c")))
    )  # fmt: skip
    inner = Coordinates(
        space(init_scale=LogReal(1.0, 2.0), depth=Integer(3, 6), bias_scale=Real(0.5, 1), activation=Choice(("c", "a")))
    )
    unit_MD = np.random.default_rng(0).random((200, 4))
    for here, there in zip(inner.points(unit_MD), outer.points(within(inner, outer, unit_MD)), strict=True):
        assert (here["depth"], here["activation"]) == (there["depth"], there["activation"])
        assert here["init_scale"] == pytest.approx(there["init_scale"])
        assert here["bias_scale"] == pytest.approx(there["bias_scale"])


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (space(depth=Integer(1, 9)), "B alone|A alone has init_scale"),
        (space(depth=Integer(1, 9), init_scale=LogReal(1, 2), width=Integer(4, 8)), "B alone has width"),
        (space(depth=LogInteger(1, 9), init_scale=LogReal(1, 2)), "one type"),
        (space(depth=Integer(20, 30), init_scale=LogReal(1, 2)), "overlap in depth"),
    ],
)
def test_spaces_that_share_no_axes_are_one_sentence(second, words):
    with pytest.raises(UsageError, match=words) as refused:
        common_space(space(depth=Integer(1, 9), init_scale=LogReal(1, 2)), second, ("A", "B"))
    assert "\n" not in str(refused.value)


def test_the_command_compares_and_refuses(tmp_path):
    root = str(tmp_path)
    plant(tmp_path, trials=30, name="one")
    plant(tmp_path, trials=30, name="untrained", recipe={"steps": 0})
    plant(tmp_path, trials=30, name="other", space={"init_scale": LogReal(0.5, 4.0)}, recipe={"activation": "relu"})
    told = CliRunner().invoke(cli, ["report", "one", "other", "--results", root])
    assert "one alone has depth, activation" in str(told.exception)
    told = CliRunner().invoke(cli, ["report", "one", "untrained", "--results", root])
    assert "compared by the same responses" in str(told.exception)
    told = CliRunner().invoke(cli, ["report", "one", "untrained", "--results", root, "--criterion", "responses=R"])
    assert told.exit_code == 0, told.output
    assert "gradstab report one untrained --criterion responses=R<" in Path(told.stdout.strip()).read_text()
    told = CliRunner().invoke(cli, ["report", "one", "one", "one", "--results", root])
    assert isinstance(told.exception, UsageError)
