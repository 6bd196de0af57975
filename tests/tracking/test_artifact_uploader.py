"""What others put into the results folder reaches MLflow: the report, the region as metrics, heat maps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gradstab.figures.heat_maps import write_heat_maps
from gradstab.record.shipping_order import load_order
from gradstab.stability.judgement import judge
from gradstab.study.criterion import Criterion
from gradstab.tracking.artifact_uploader import region_rows
from gradstab.tracking.child_policy import gets_run
from gradstab.tracking.pictures import phase_diagram_name, report_pictures
from gradstab.tracking.shipping_files import load_state
from tests.fakes import make_mixed_records, make_record
from tests.tracking.conftest import MakeFolder
from tests.tracking.notebook import client_of, parent_of, runs_of, ship, trials_of
from tests.tracking.orders import order_of

REGION = {
    "num_trials": 120,
    "regions": {
        "R and T": {
            "volume": {"estimate": 0.314159265, "low": 0.29, "high": 0.33},
            "volume_words": "31 % (29 % to 33 %)",
        },
        "R": {},
    },
    "intervals": [],
}


def write_report(folder: Path, **region: object) -> None:
    report = folder / "report"
    report.mkdir(exist_ok=True)
    (report / "region.json").write_text(json.dumps({**REGION, **region}), encoding="utf-8")
    (report / "index.html").write_text("<p>report</p>", encoding="utf-8")
    Image.new("RGB", (40, 30), "white").save(report / "phase_R_and_T.png")


def test_the_report_lies_on_the_studys_run_and_the_region_is_a_metric(make_folder: MakeFolder) -> None:
    folder = make_folder([make_mixed_records(6)])
    write_report(folder)
    assert ship(folder) == 0
    client, run_id = client_of(folder), parent_of(folder).info.run_id
    held = {a.path for place in ("report", "images") for a in client.list_artifacts(run_id, place)}
    assert {"report/index.html", "report/region.json", "report/phase_R_and_T.png"} <= held
    assert {path.rpartition(".")[2] for path in held if path.startswith("images/phase_diagram+")} == {"png", "webp"}
    write_report(folder, num_trials=240)
    assert ship(folder) == 0
    history = client.get_metric_history(run_id, "region/volume_estimate")
    assert [(metric.step, metric.value) for metric in history] == [(120, 0.314159), (240, 0.314159)]
    assert parent_of(folder).data.metrics["region/certified"] == 0.0
    images = [a.path for a in client.list_artifacts(run_id, "images")]
    assert len(images) == 2, "a new picture replaces the old one"


def test_heat_maps_lie_on_their_trial_and_its_note_says_so(make_folder: MakeFolder) -> None:
    records = make_mixed_records(6)
    folder = make_folder([records], child_runs=2)
    for record in (records[1], records[3]):  # trial 3 has no run until somebody wants its heat maps
        write_heat_maps(record, folder)
    assert ship(folder) == 0
    trials, client = trials_of(folder), client_of(folder)
    assert sorted(trials) == [0, 1, 3]
    for number in (1, 3):
        held = trials[number]
        assert held.tags["heat_maps"] == "true"
        images = {a.path.split("/")[1].split("+")[0] for a in client.list_artifacts(held.run_id, "images")}
        assert images == {"heat_map~grad_norm", "heat_map~activation_scale", "heat_map~saturated_or_dead"}
        arrays = np.load(client.download_artifacts(held.run_id, f"arrays/trial-{number:06d}.npz"))
        recorded = records[number].trajectory
        assert recorded is not None
        np.testing.assert_array_equal(arrays["log10_delta_norm"], recorded["log10_delta_norm"])
        assert held.run_id in held.tags["mlflow.note.content"]
        assert held.tags["mlflow.note.content"].startswith(f"**{held.tags['verdict']}**")
    assert "heat_maps" not in trials[0].tags
    assert "--trial 0" in trials[0].tags["mlflow.note.content"]
    assert "gradients.svg" in trials[1].tags["mlflow.note.content"], "heat maps do not push the picture out"
    assert "heat_map~grad_norm%2Bstep" in trials[1].tags["mlflow.note.content"]
    before = trials_of(folder)
    assert ship(folder) == 0
    assert trials_of(folder) == before


def test_heat_maps_of_a_run_that_a_person_deleted_hold_up_nothing(make_folder: MakeFolder) -> None:
    records = make_mixed_records(3)
    folder = make_folder([records])
    ship(folder)
    (first,) = [run for run in runs_of(folder, "trial") if run.data.tags["trial"] == "1"]
    client_of(folder).delete_run(first.info.run_id)
    write_heat_maps(records[1], folder)
    assert ship(folder) == 0


@pytest.mark.parametrize(
    ("beyond", "decades_per_layer", "expected"),
    [
        ("none", 0.135, {0, 1}),
        ("all", 0.0, set(range(30))),
        ("sample", 0.0, {0, 1, 10, 20}),
        ("boundary", 0.0, {0, 1}),
        ("boundary", 0.135, set(range(30))),  # R is about .95 of a band of 1
    ],
)
def test_which_trials_get_a_run(beyond: str, decades_per_layer: float, expected: set[int]) -> None:
    job = order_of(child_runs=2, child_runs_after=beyond)
    found = set()
    for number in range(30):
        record = make_record(number, point={"depth": 8, "steps": 0}, decades_per_layer=decades_per_layer)
        assert record.trajectory is not None
        if gets_run(job, number, judge(record.trajectory, Criterion())):
            found.add(number)
    assert found == expected


def test_the_criterions_own_region_counts() -> None:
    assert phase_diagram_name(REGION) == "phase_R_and_T.png"
    rows = {row.key: (row.value, row.step) for row in region_rows(REGION, certified=True)}
    assert rows["region/volume_low"] == (0.29, 120)
    assert rows["region/certified"] == (1.0, 120)


def test_every_trial_has_its_picture_among_its_artifacts(make_folder: MakeFolder) -> None:
    folder = make_folder([make_mixed_records(6)])
    assert ship(folder) == 0
    client, held = client_of(folder), trials_of(folder)
    measured = [run for run in held.values() if run.status == "FINISHED"]
    assert measured
    for run in measured:
        assert [a.path for a in client.list_artifacts(run.run_id)] == ["gradients.svg"]
        assert run.run_id in run.tags["mlflow.note.content"]


def test_maps_and_profiles_of_the_report_are_pictures_and_lead_their_views(make_folder: MakeFolder) -> None:
    folder = make_folder([make_mixed_records(6)])
    maps = [{"held": {"activation": "my_module:swish"}, "file": "map-0.png"}, {"held": {}, "file": "map-1.png"}]
    write_report(folder, maps=maps)
    for name, size in (("map-0", (40, 20)), ("map-1", (80, 20)), ("depth_profiles", (40, 10))):
        Image.new("RGB", size, "white").save(folder / "report" / f"{name}.png")
    (folder / "report" / "broken.png").write_bytes(b"no picture")
    found = {key: (picture.path.name, picture.shape) for key, picture in report_pictures(folder / "report").items()}
    assert found == {
        "phase_diagram": ("map-1.png", 0.25),
        "phase_diagram/my_module_swish": ("map-0.png", 0.5),
        "depth_profiles": ("depth_profiles.png", 0.25),
    }
    assert ship(folder) == 0
    client, run_id = client_of(folder), parent_of(folder).info.run_id
    images = [a.path for a in client.list_artifacts(run_id, "images")]
    small = client.download_artifacts(run_id, next(path for path in images if "map-1" in path and "webp" in path))
    with Image.open(small) as shown:
        assert shown.size == (80, 80), "MLflow centres what is not square, and half of a picture lies below the page"
    tags = client.get_experiment(load_state(folder).experiment_id or "").tags
    assert "phase_diagram" in tags["mlflow.sharedViewState.gradstab-map"]
    assert "gradstab-depth" in " ".join(tags)


def test_a_job_of_an_older_version_ships_no_later_trials(make_folder: MakeFolder) -> None:
    assert load_order(make_folder()).child_runs_after == "none"
