"""A study whose places were damaged one by one: the doctor names it, mends it, and then finds nothing; then it goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gradstab.record.segments import segment_paths
from tests.endtoend.command import Place, assert_exactly_once, values_of

TRIALS = 24


@pytest.fixture
def place(tmp_path, empty_database) -> Place:
    place = Place(tmp_path).with_database(empty_database)
    place.write_study(trials=TRIALS)
    done = place.call("run", "study", "--engine", "serial")
    assert done.returncode == 0, done.stderr
    return place


def findings(place: Place, *flags: str) -> list[tuple[str, str, list[int]]]:
    done = place.call("doctor", "study", "--format", "json", *flags)
    found = [(f["where"], f["what"], f["numbers"]) for f in json.loads(done.stdout)]
    assert done.returncode == (1 if found else 0), done.stderr
    assert "Traceback" not in done.stderr
    return found


def damage_mlflow(place: Place) -> None:
    client = place.mlflow()
    runs = {int(run.data.tags["trial"]): run for run in place.mlflow_runs("trial")}
    client.update_run(runs[3].info.run_id, status="RUNNING")
    client.delete_run(runs[5].info.run_id)
    client.create_run(runs[7].info.experiment_id, tags=runs[7].data.tags)
    client.log_metric(runs[9].info.run_id, "margin", 77.0, timestamp=2**42, step=2**30)  # the latest counts
    (parent,) = place.mlflow_runs("study")
    client.update_run(parent.info.run_id, status="RUNNING")
    table = json.loads(Path(client.download_artifacts(parent.info.run_id, "trials.json", str(place.root))).read_text())
    table["data"] = [row for row in table["data"] if row[table["columns"].index("trial")] != 11]
    client.log_dict(parent.info.run_id, table, "trials.json")


def damage_journal(place: Place) -> None:
    """The last trial's end is lost, and half a line is what is left of it."""
    path = place.folder / "optuna.journal"
    lines = path.read_bytes().splitlines(keepends=True)
    # op code 6 sets a trial's state and value
    last = max(i for i, line in enumerate(lines) if json.loads(line)["op_code"] == 6)
    path.write_bytes(b"".join(lines[:last]) + lines[last][:20])


def test_each_damage_is_named_mended_and_gone(place: Place) -> None:
    assert findings(place) == []
    before = values_of(place.records())
    damage_mlflow(place)
    damage_journal(place)
    found = findings(place)
    assert findings(place) == found  # dry: nothing was changed
    named = {what: numbers for _, what, numbers in found}
    assert any(what.startswith("the journal ends in 20 bytes") for what in named)
    assert named["recorded, but still running there"] == [TRIALS - 1]
    assert named["a run that never ended"] == [3, 7]
    assert named["no run"] == [5]
    assert named["several runs"] == [7]
    assert named["a run with other values than the record's"] == [9]
    assert named["not in the study's table"] == [11]
    assert "the study's run shows as running, but nobody drives it" in named
    assert findings(place, "--repair") == []
    assert_exactly_once(place, TRIALS)
    assert values_of(place.records()) == before
    assert findings(place, "--repair") == []


@pytest.mark.faults
@pytest.mark.parametrize("damage", ["flipped", "truncated"])
def test_a_damaged_segment_is_set_aside_and_its_trials_are_trained_again(place: Place, damage: str) -> None:
    before = values_of(place.records())
    first = segment_paths(place.folder)[0]
    content = bytearray(first.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    else:
        del content[-50:]
    first.write_bytes(content)
    found = findings(place)
    assert ("segments", f"{first.name} is damaged", []) in found
    lost = next(numbers for _, what, numbers in found if what == "told, but not on record")
    left = findings(place, "--repair")
    assert {what for _, what, _ in left} <= {"told, but not on record", "a run of a trial that is not on record"}
    done = place.call("run", "study", "--engine", "serial")
    assert done.returncode == 0, done.stderr
    assert lost
    assert findings(place) == []
    assert values_of(place.records()) == before
    assert_exactly_once(place, TRIALS)


@pytest.mark.faults
def test_remove_shows_asks_and_takes_everything(place: Place) -> None:
    refused = place.run("remove", "study")  # in a process of its own, which ends at once where nobody answers
    assert refused.returncode != 0
    assert f"{TRIALS + 1} runs, children included" in refused.stdout
    assert place.folder.exists()
    assert_exactly_once(place, TRIALS)
    done = place.call("remove", "study", "--yes")
    assert done.returncode == 0, done.stderr
    assert not place.folder.exists()
    client = place.mlflow()
    assert [experiment.name for experiment in client.search_experiments()] == ["Default"]
    assert client.search_runs(["1"]) == []
    assert place.call("status", "study").returncode == 2
    again = place.call("run", "study", "--engine", "serial", "--trials", "3")
    assert again.returncode == 0, again.stderr
    assert "came back" not in again.stderr
    assert sorted(record.number for record in place.records()) == [0, 1, 2]
