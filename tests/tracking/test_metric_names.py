"""A study in MLflow keeps the names it began with: readable ones, or those of version 0.1.0."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gradstab.record.segments import write_segment
from gradstab.study.responses.registry import RESPONSES
from gradstab.tracking.keys import searches
from gradstab.tracking.metric_names import TAG, MetricNames, names_of, old_names
from gradstab.tracking.shipping_files import load_state
from gradstab.tracking.view_state import TAG_PREFIX
from tests.fakes import make_mixed_records
from tests.tracking.conftest import MakeFolder
from tests.tracking.notebook import client_of, parent_of, ship, table_of, trials_of

# what version 0.1.0 named otherwise, written down when it was in use
OLD = {"R", "R_end", "rate", "rate_all", "rate_r2", "T", "series/R", "flag"}


def experiment_tags(folder: Path) -> dict[str, str]:
    return dict(client_of(folder).get_experiment(load_state(folder).experiment_id or "").tags)


def begin_with_old_version(folder: Path) -> None:
    """Make the study's experiment as version 0.1.0 made it: without a tag that says how metrics are named."""
    order = json.loads((folder / "tracking.json").read_text(encoding="utf-8"))
    client_of(folder).create_experiment(order["study"], f"{order['artifact_root']}/s", {"study_id": order["study_id"]})


def test_a_new_study_has_readable_names_and_says_so(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder = make_folder([make_mixed_records(6)])
    assert ship(folder) == 0
    keys = {key for run in trials_of(folder).values() for key, *_ in run.rows}
    assert {"gradient_ratio", "training_response", "worst_gradient_ratio", "gradient_rate"} <= keys
    assert not OLD & keys
    assert experiment_tags(folder)[TAG] == parent_of(folder).data.tags[TAG] == "readable, depth in percent"
    assert {"gradient_ratio", "training_response", "gradient_flag"} <= table_of(folder, tmp_path).keys()


def test_a_study_that_an_older_version_began_goes_on_under_its_names(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder = make_folder([make_mixed_records(6, activation="relu")])
    begin_with_old_version(folder)
    assert ship(folder) == 0
    write_segment(folder, 1, make_mixed_records(6, first=6, activation="relu"))
    assert ship(folder) == 0
    keys = {key for run in trials_of(folder).values() for key, *_ in run.rows}
    assert OLD - {"flag"} <= keys
    assert not old_names().keys() & keys
    assert "flag" in trials_of(folder)[3].tags
    assert {"R", "T", "flag"} <= table_of(folder, tmp_path).keys()
    tags = experiment_tags(folder)
    assert TAG not in tags
    views = [value for name, value in tags.items() if name.startswith(TAG_PREFIX)]
    assert views
    assert not any("gradient_ratio" in view for view in views)
    assert "R is the gradient ratio before training" in tags["mlflow.note.content"]
    found = dict(searches(names_of(tags)))["exploding ReLU networks"]
    experiment = load_state(folder).experiment_id or ""
    assert {run.data.tags["trial"] for run in client_of(folder).search_runs([experiment], found)} == {
        "2",
        "3",
        "8",
        "9",
    }


def test_an_experiment_that_was_deleted_begins_again_with_readable_names(make_folder: MakeFolder) -> None:
    folder = make_folder([make_mixed_records(3)])
    begin_with_old_version(folder)
    assert ship(folder) == 0
    client_of(folder).delete_experiment(load_state(folder).experiment_id or "")
    assert ship(folder) == 0
    assert experiment_tags(folder)[TAG] == "readable, depth in percent"


@pytest.mark.parametrize("letter", RESPONSES)
def test_every_response_has_both_names(letter: str) -> None:
    name = RESPONSES[letter].name
    assert MetricNames(readable=True)(name) == name
    assert MetricNames(readable=False, comparable=False)(name) == letter


def test_no_two_metrics_share_a_name() -> None:
    assert len(set(old_names().values())) == len(old_names())
    assert not set(old_names()) & set(old_names().values())
