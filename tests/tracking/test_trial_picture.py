"""The picture of a trial: every layer by its name and value, the same colours for the same gradients, valid SVG."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from gradstab.record.segments import Record
from gradstab.stability.judgement import judge
from gradstab.study.criterion import Criterion
from gradstab.tracking.metric_names import MetricNames
from gradstab.tracking.run_content import PICTURED_TRIALS, run_content
from gradstab.tracking.trial_picture import trial_picture
from tests.fakes import make_mixed_records, make_record
from tests.tracking.orders import order_of

SVG = "{http://www.w3.org/2000/svg}"


def drawn(record: Record) -> ElementTree.Element:
    assert record.trajectory is not None
    text = trial_picture(record.trajectory, judge(record.trajectory, Criterion()).verdict, 1.0)
    assert text is not None
    return ElementTree.fromstring(text)


def strip(record: Record) -> list[tuple[str, str]]:
    """The name and value of every layer, and its colour."""
    cells = [rect for rect in drawn(record).iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]
    return [(str(rect.findtext(f"{SVG}title")), rect.attrib["fill"]) for rect in cells]


def exploding(number: int = 0) -> Record:
    return sloped(9, 0.25, number)


def sloped(depth: int, decades: float, number: int = 0) -> Record:
    """A trial whose gradients grow by exactly so many decades from layer to layer on their way to the input."""
    record = make_record(number, point={"depth": depth})
    assert record.trajectory is not None
    norm_PL = np.zeros_like(record.trajectory["log10_delta_norm"]) + decades * np.arange(depth)[::-1]
    series = {**record.trajectory.series, "log10_delta_norm": norm_PL}
    return replace(record, trajectory=replace(record.trajectory, series=series))


def test_every_layer_is_named_with_its_gradient() -> None:
    assert [text for text, _ in strip(exploding())] == [
        f"layer {layer}: {0.25 * (9 - layer):+.2f}" for layer in range(1, 10)
    ]


def test_the_taps_of_a_module_are_all_in_its_picture() -> None:
    plain = exploding()
    assert plain.trajectory is not None
    taps = tuple(f"blocks.{place}.<attn>" for place in range(9))
    module = replace(plain, trajectory=replace(plain.trajectory, taps=taps))
    assert [text.partition(": ")[0] for text, _ in strip(module)] == list(taps)
    assert {"".join(text.itertext()) for text in drawn(module).iter(f"{SVG}text")} >= set(taps)


def test_the_same_gradient_has_the_same_colour_in_every_trial() -> None:
    two, four = (dict(strip(sloped(depth, 1.0))) for depth in (3, 5))
    assert two["layer 1: +2.00"] == four["layer 3: +2.00"] != four["layer 1: +4.00"]
    vanishing = dict(strip(sloped(3, -1.0)))
    assert vanishing["layer 1: -2.00"] not in two.values()


def test_every_kind_of_trial_has_a_picture_without_a_number_that_is_none() -> None:
    shapes: list[dict[str, Any]] = [{"depth": 2, "steps": 0}, {"depth": 64, "steps": 1}, {"depth": 300, "steps": 5}]
    records = [make_record(0, point=shape, decades_per_layer=slope) for shape in shapes for slope in (-3.0, 0.0, 3.0)]
    records += [record for record in make_mixed_records(12) if record.trajectory is not None]
    for record in records:
        if record.trajectory is not None and record.trajectory.depth > 1:
            text = ElementTree.tostring(drawn(record), encoding="unicode")
            assert "nan" not in text.replace("nanometre", "").partition("base64")[0]
            assert "inf" not in text.partition("base64")[0]


def test_one_layer_or_nothing_measured_has_none() -> None:
    one = make_record(0, point={"depth": 1})
    assert one.trajectory is not None
    assert trial_picture(one.trajectory, "stable", 1.0) is None
    whole = exploding()
    assert whole.trajectory is not None
    nothing = {
        **whole.trajectory.series,
        "log10_delta_norm": np.full_like(whole.trajectory["log10_delta_norm"], math.nan),
    }
    assert trial_picture(replace(whole.trajectory, series=nothing), "diverged", 1.0) is None


@pytest.mark.parametrize(("number", "has_picture"), [(0, True), (PICTURED_TRIALS - 1, True), (PICTURED_TRIALS, False)])
def test_the_first_thousand_trials_have_one_and_their_note_shows_it(number: int, has_picture: bool) -> None:
    record = exploding(number)
    assert record.trajectory is not None
    content = run_content(record, judge(record.trajectory, Criterion()), order_of(), MetricNames())
    assert (content.picture is not None) == has_picture
    note = content.tags_of("7", "f00")["mlflow.note.content"]
    assert ("](get-artifact?run_uuid=f00&path=gradients.svg)" in note) == has_picture
    assert ("#/experiments/7/runs/f00/artifacts/gradients.svg" in note) == has_picture
    assert "{" not in note.partition("```")[0]
