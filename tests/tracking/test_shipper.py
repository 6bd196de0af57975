"""Shipping into a real MLflow store in SQLite: every trial once, whatever is repeated, deleted or contradicted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from gradstab.record.segments import segment_paths, write_segment
from gradstab.record.shipping_order import load_order, save_order
from gradstab.record.statistics.registry import layer_statistics
from gradstab.system.child_process import ParentPipe
from gradstab.tracking import direct_rows
from gradstab.tracking.segment_shipper import EXIT_WAITING, SegmentShipper
from gradstab.tracking.shipping_files import CURSOR_NAME, WaitingCounter, load_cursor, load_state
from tests.fakes import make_mixed_records, make_record
from tests.tracking.conftest import MakeFolder
from tests.tracking.notebook import client_of, parent_of, runs_of, ship, table_of, trials_of


@pytest.fixture(autouse=True, params=["rows of a known schema", "calls of MLflow"])
def _way_of_writing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test holds for both ways in which a run is written."""
    if request.param == "calls of MLflow":
        monkeypatch.setattr(direct_rows, "KNOWN_REVISIONS", frozenset())


def test_every_trial_becomes_one_run_under_the_study(make_folder: MakeFolder, tmp_path: Path) -> None:
    records = make_mixed_records(12)
    folder = make_folder([records[:5], records[5:]])
    assert WaitingCounter(folder).waiting(load_order(folder).uri) == 12
    assert ship(folder) == 0
    assert WaitingCounter(folder).waiting(load_order(folder).uri) == 0
    assert WaitingCounter(folder).waiting("http://another-store") == 12

    parent, trials = parent_of(folder), trials_of(folder)
    assert sorted(trials) == list(range(12))
    for record in records:
        held = trials[record.number]
        assert held.tags["mlflow.parentRunId"] == parent.info.run_id
        assert held.times == (record.started_ms, record.finished_ms)
        assert {timestamp for _, _, timestamp, _ in held.rows} <= {record.finished_ms}
        assert held.status == ("FAILED" if record.failure else "FINISHED")
        assert held.params["seed"] == str(record.seed)
    verdicts = [trials[number].tags["verdict"] for number in range(6)]
    assert verdicts == ["stable", "vanishing", "exploding", "diverged", "diverged", "failed"]

    table = table_of(folder, tmp_path)
    assert table["trial"] == list(range(12))
    assert table["verdict"] == verdicts * 2
    assert table["depth"] == [8] * 12


def test_the_parent_run_carries_study_progress_and_segments(make_folder: MakeFolder) -> None:
    folder = make_folder([make_mixed_records(12)])
    assert ship(folder) == 0
    parent, client = parent_of(folder), client_of(folder)
    assert parent.info.status == "FINISHED"
    assert parent.data.params["study.recipe.width"] == "64"
    assert not any(name.startswith("study.budget") for name in parent.data.params)
    assert parent.data.tags["in_flight"] == "12-14, 20"
    assert parent.data.tags["git_commit"] == "abc1234"
    assert parent.data.metrics["trials/stable"] == 2
    artifacts = {
        a.path for folder_ in (None, "study", "segments") for a in client.list_artifacts(parent.info.run_id, folder_)
    }
    (segment,) = segment_paths(folder)
    assert {"resolved.json", "trials.json", "study/study.py", f"segments/{segment.name}"} <= artifacts


def test_moments_with_nothing_new_add_no_points(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder([make_mixed_records(12)])
    monkeypatch.setattr("gradstab.tracking.study_progress.PROGRESS_EVERY_S", 0.0)

    class Moments(ParentPipe):
        """A driver that writes down three moments: nothing new, one trial less in flight, one more done."""

        news: ClassVar[list[dict[str, object]]] = [
            {},
            {"in_flight": (13, 14)},
            {"counts": {"done": 13, "stable": 2}, "in_flight": (14,)},
        ]

        def wait(self, seconds: float) -> None:
            job = load_order(folder)
            save_order(folder, job.model_copy(update={"updated_ms": job.updated_ms + 2000, **self.news.pop(0)}))
            if not self.news:
                self.finish(4.0)

    assert SegmentShipper(folder, Moments()).run() == 0
    client, run_id = client_of(folder), parent_of(folder).info.run_id
    points = {
        name: [(row.step, row.value) for row in client.get_metric_history(run_id, f"trials/{name}")]
        for name in ("done", "stable", "in_flight")
    }
    assert points == {
        "done": [(12, 12), (13, 13)],
        "stable": [(12, 2), (13, 2)],
        "in_flight": [(12, 4), (12, 2), (13, 1)],
    }


def test_a_study_stopped_early_does_not_look_as_if_it_ran(make_folder: MakeFolder) -> None:
    folder = make_folder([make_mixed_records(3)])
    ship(folder)
    assert parent_of(folder).info.status == "KILLED"
    save_order(folder, load_order(folder).model_copy(update={"budget": 3}))
    ship(folder)
    assert parent_of(folder).info.status == "FINISHED"


def test_replaying_everything_changes_nothing(make_folder: MakeFolder, tmp_path: Path) -> None:
    records = make_mixed_records(12)
    folder = make_folder([records[:6], records[6:]])
    ship(folder)
    before, parent = trials_of(folder), parent_of(folder)
    (folder / CURSOR_NAME).unlink()
    assert ship(folder) == 0
    assert trials_of(folder) == before
    assert parent_of(folder).info.run_id == parent.info.run_id
    assert parent_of(folder).data.metrics == parent.data.metrics
    assert table_of(folder, tmp_path)["trial"] == list(range(12))


def test_runs_left_unfinished_are_filled_again_without_double_rows(make_folder: MakeFolder) -> None:
    folder = make_folder([make_mixed_records(6)])
    ship(folder)
    before, client = trials_of(folder), client_of(folder)
    for held in before.values():
        client.update_run(held.run_id, status="RUNNING")
    (folder / CURSOR_NAME).unlink()
    ship(folder)
    assert trials_of(folder) == before


def test_what_comes_later_is_added_to_the_same_runs(make_folder: MakeFolder, tmp_path: Path) -> None:
    records = make_mixed_records(12)
    folder = make_folder([records[:6]])
    ship(folder)
    before, parent = trials_of(folder), parent_of(folder)
    write_segment(folder, 1, records[6:])
    assert ship(folder) == 0
    after = trials_of(folder)
    assert sorted(after) == list(range(12))
    assert {number: after[number] for number in before} == before
    assert parent_of(folder).info.run_id == parent.info.run_id
    assert table_of(folder, tmp_path)["trial"] == list(range(12))


def test_of_two_records_of_a_number_the_first_counts(make_folder: MakeFolder, tmp_path: Path) -> None:
    first = make_record(0)
    again = make_record(0, decades_per_layer=0.9)
    folder = make_folder([[first], [again, make_record(1)]])
    assert ship(folder) == 0
    assert {n: held.tags["verdict"] for n, held in trials_of(folder).items()} == {0: "stable", 1: "stable"}
    assert table_of(folder, tmp_path)["verdict"] == ["stable", "stable"]


def test_second_runs_of_a_trial_are_swept(make_folder: MakeFolder) -> None:
    folder = make_folder([make_mixed_records(4)])
    ship(folder)
    before, client = trials_of(folder), client_of(folder)
    client.create_run(runs_of(folder, "trial")[0].info.experiment_id, tags=before[2].tags)
    (folder / CURSOR_NAME).unlink()
    ship(folder)
    assert trials_of(folder) == before


def test_a_run_that_contradicts_its_record_is_replaced(make_folder: MakeFolder) -> None:
    folder = make_folder([make_mixed_records(2)])
    ship(folder)
    before, client = trials_of(folder), client_of(folder)
    client.delete_run(before[1].run_id)
    other = client.create_run(runs_of(folder, "trial")[0].info.experiment_id, tags=before[1].tags)
    client.log_param(other.info.run_id, "init_scale", "1.250001")
    (folder / CURSOR_NAME).unlink()
    assert ship(folder) == 0
    after = trials_of(folder)
    assert after[0] == before[0]
    assert (after[1].params, after[1].rows) == (before[1].params, before[1].rows)


def test_a_parent_run_that_a_person_deleted_comes_back_with_its_children(make_folder: MakeFolder) -> None:
    records = make_mixed_records(6)
    folder = make_folder([records[:4]])
    ship(folder)
    before, old = trials_of(folder), parent_of(folder).info.run_id
    client_of(folder).delete_run(old)
    write_segment(folder, 1, records[4:])
    assert ship(folder) == 0
    parent, after = parent_of(folder).info.run_id, trials_of(folder)
    assert parent != old
    assert {held.tags["mlflow.parentRunId"] for held in after.values()} == {parent}
    assert [after[number].run_id for number in before] == [held.run_id for held in before.values()]


def test_of_two_runs_of_the_study_itself_the_known_one_stays(make_folder: MakeFolder) -> None:
    records = make_mixed_records(4)
    folder = make_folder([records[:2]])
    ship(folder)
    known = parent_of(folder)
    client_of(folder).create_run(known.info.experiment_id, start_time=1, tags=known.data.tags)  # a reply was lost
    write_segment(folder, 1, records[2:])
    assert ship(folder) == 0
    assert parent_of(folder).info.run_id == known.info.run_id


def test_the_segment_at_hand_is_the_last_when_the_driver_dies(make_folder: MakeFolder) -> None:
    class Orphaned(SegmentShipper):
        def _ship_segment(self, destination: Any, path: Path) -> None:
            super()._ship_segment(destination, path)
            self._driver.hang_up()

    records = make_mixed_records(6)
    folder = make_folder([records[:2], records[2:4], records[4:]])
    assert Orphaned(folder, ParentPipe()).run() == EXIT_WAITING
    assert sorted(trials_of(folder)) == [0, 1]
    assert ship(folder) == 0
    assert sorted(trials_of(folder)) == list(range(6))


def test_only_the_first_trials_get_runs_where_the_policy_says_so(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder = make_folder([make_mixed_records(6)], child_runs=2)
    assert ship(folder) == 0
    assert sorted(trials_of(folder)) == [0, 1]
    assert table_of(folder, tmp_path)["trial"] == list(range(6))


def test_full_detail_goes_over_in_several_requests(make_folder: MakeFolder) -> None:
    record = make_record(0, point={"depth": 20, "steps": 50})
    folder = make_folder([[record]], detail="full")
    assert ship(folder) == 0
    client, held = client_of(folder), runs_of(folder, "trial")[0]
    keys = [key for key in held.data.metrics if key.startswith("layer_full/")]
    assert len(keys) == 20 * len(layer_statistics())
    assert len(keys) * 6 > 1000, "more rows than one request takes"
    history = client.get_metric_history(held.info.run_id, "layer_full/log10_delta_norm/007")
    assert [metric.step for metric in history] == [0, 10, 20, 30, 40, 50]


def test_another_study_of_the_same_name_gets_an_experiment_of_its_own(make_folder: MakeFolder) -> None:
    one = make_folder([make_mixed_records(2)], name="one")
    two = make_folder([make_mixed_records(3)], name="two", study_id="9d81f0aa-0000-4000-8000-000000000002")
    assert ship(one) == ship(two) == 0
    assert load_state(one).experiment_name == "depth and scale"
    assert load_state(two).experiment_name == "depth and scale-9d81f0aa"
    assert (len(trials_of(one)), len(trials_of(two))) == (2, 3)


def test_a_deleted_experiment_is_not_in_the_way(make_folder: MakeFolder) -> None:
    folder = make_folder([make_mixed_records(2)])
    ship(folder)
    experiment_id = load_state(folder).experiment_id
    assert experiment_id is not None
    client_of(folder).delete_experiment(experiment_id)
    assert ship(folder) == 0
    assert sorted(trials_of(folder)) == [0, 1]
    assert load_state(folder).experiment_id != experiment_id


def test_a_damaged_segment_waits_and_holds_up_no_other(make_folder: MakeFolder) -> None:
    folder = make_folder([make_mixed_records(2), make_mixed_records(2, first=2)])
    damaged = segment_paths(folder)[0]
    damaged.write_bytes(damaged.read_bytes()[:-100])
    assert ship(folder) == EXIT_WAITING
    assert sorted(trials_of(folder)) == [2, 3]
    assert load_cursor(folder, load_order(folder).uri).shipped == {segment_paths(folder)[1].name}


def test_an_old_mlruns_folder_in_the_working_directory_does_not_matter(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "mlruns" / "0"
    old.mkdir(parents=True)
    (old / "meta.yaml").write_text("experiment_id: '0'\nname: Default\nlifecycle_stage: active\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    folder = make_folder([make_mixed_records(2)])
    assert ship(folder) == 0
    assert sorted(trials_of(folder)) == [0, 1]
    assert sorted(path.name for path in (tmp_path / "mlruns").rglob("*")) == ["0", "meta.yaml"]


def test_artifacts_lie_under_the_root_and_the_database_uses_a_write_ahead_log(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    folder = make_folder([make_mixed_records(1)])
    ship(folder)
    assert parent_of(folder).info.artifact_uri.startswith((tmp_path / "artifacts").as_uri())
    assert (tmp_path / "mlflow.db").read_bytes()[18:20] == b"\x02\x02", "the header says WAL"


def test_a_trial_costs_seven_writes_and_two_dozen_reads_however_many_there_are(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's own statements are counted; `make bench` measures what they cost (its row "shipper, CPU a trial")."""
    monkeypatch.setattr(direct_rows, "KNOWN_REVISIONS", frozenset())

    def statements(count: int) -> Counter[str]:
        records = [make_record(number, point={"depth": 64, "clip": True}) for number in range(count)]
        folder = make_folder([records], name=f"{count} trials", study=str(count), study_id=f"00000000-{count:04}")
        seen: Counter[str] = Counter()

        def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            seen[statement.split(maxsplit=1)[0]] += 1

        event.listen(Engine, "before_cursor_execute", note)
        try:
            assert ship(folder) == 0
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        return seen

    few, many = statements(2), statements(12)
    writes = ("INSERT", "UPDATE", "DELETE")
    assert sum(many[word] - few[word] for word in writes) <= 7 * 10
    assert 0 < many["SELECT"] - few["SELECT"] <= 24 * 10, "half of them ask where the trial's picture goes"
