"""The page of keys says what runs hold: no key without a line, no line without a key."""

from __future__ import annotations

from pathlib import Path

from gradstab.stability.judgement import judge
from gradstab.study.criterion import Criterion
from gradstab.study.recipe import Recipe
from gradstab.tracking.keys import TRIAL_PROFILES, TRIAL_SERIES, TRIAL_TAGS, page, searches, trial_metrics
from gradstab.tracking.metric_names import MetricNames
from gradstab.tracking.run_content import RunContent, run_content
from gradstab.tracking.shipping_files import load_state
from gradstab.tracking.trial_note import MAPS_TAG
from tests.fakes import make_mixed_records, make_record
from tests.tracking.conftest import MakeFolder
from tests.tracking.notebook import client_of, ship
from tests.tracking.orders import order_of


def contents() -> list[RunContent]:
    """Every kind of trial, with clipping and without."""
    records = [*make_mixed_records(6), *make_mixed_records(6, clip=True), *make_mixed_records(6, depth=600)]
    return [
        run_content(r, None if r.trajectory is None else judge(r.trajectory, Criterion()), order_of(), MetricNames())
        for r in records
    ]


def test_the_page_is_current() -> None:
    written = (Path(__file__).parents[2] / "docs" / "keys.md").read_text(encoding="utf-8")
    assert written == page(), "python -m gradstab.tracking.keys > docs/keys.md"


def test_every_key_of_a_run_has_a_line_and_every_line_a_key() -> None:
    found = contents()
    metrics = {row.key for content in found for row in content.metrics}
    assert metrics == {key.name for key in (*trial_metrics(), *TRIAL_SERIES, *TRIAL_PROFILES)}
    tags = {name for content in found for name in content.tags if not name.startswith("mlflow.")}
    assert tags | {MAPS_TAG, "taps"} == {key.name for key in TRIAL_TAGS}
    assert {name for content in found for name in content.params} <= {*Recipe.model_fields, "seed"}


def test_the_searches_find_what_they_say(make_folder: MakeFolder) -> None:
    folder = make_folder(
        [
            make_mixed_records(6, first=36),
            make_mixed_records(6, first=42, activation="relu"),
            make_mixed_records(6, first=48, clip=True),
            [make_record(54, decades_per_layer=0.99 / 7), make_record(55, decades_per_layer=0.8 / 7)],
        ]
    )
    ship(folder)
    experiment = load_state(folder).experiment_id or ""
    found = {
        wanted: [run.data.tags.get("trial", "study") for run in client_of(folder).search_runs([experiment], search)]
        for wanted, search in searches(MetricNames())
    }
    assert set(found["exploding ReLU networks"]) == {"44", "45"}, "45 overflows at once"
    assert set(found["all that exploded"]) == {"38", "44", "50"}
    assert found["one trial"] == ["42"]
    assert found["the study's own run"] == ["study"]
    assert found["saved by clipping"] == ["48"]
    assert found["trials at the cliff edge"] == ["54"]
