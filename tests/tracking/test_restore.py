"""A results folder lost with its machine comes back from real MLflow, whole segments only."""

from __future__ import annotations

from pathlib import Path

from gradstab.record.segments import segment_paths
from gradstab.record.shipping_order import load_order, save_order
from gradstab.system.storage_url import parse_tracking
from gradstab.tracking.restore import RestoredStudy, StudyQuery, may_be_there, rebuild
from gradstab.tracking.shipping_files import load_cursor
from tests.fakes import make_mixed_records
from tests.tracking.conftest import MakeFolder
from tests.tracking.notebook import client_of, parent_of, ship, table_of, trials_of

NAME = "depth-and-scale"


def shipped(make_folder: MakeFolder) -> tuple[Path, StudyQuery]:
    records = make_mixed_records(9)
    folder = make_folder([records[:3], records[3:6], records[6:]], study=NAME, fingerprint="f1")
    assert ship(folder) == 0
    return folder, StudyQuery(parse_tracking(load_order(folder).uri), NAME, NAME, {"0.1.0": "f1", "0.9.0": "f9"})


def test_every_segment_comes_back_and_is_not_sent_again(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder, wanted = shipped(make_folder)
    before, parent = trials_of(folder), parent_of(folder).info.run_id
    again = tmp_path / "again"
    again.mkdir()
    assert may_be_there(wanted)
    assert rebuild(again, wanted) == RestoredStudy(load_order(folder).study_id, "0.1.0", 3, 0)
    assert rebuild(again, wanted) == RestoredStudy(load_order(folder).study_id, "0.1.0", 3, 0)
    assert {p.name: p.read_bytes() for p in segment_paths(again)} == {
        p.name: p.read_bytes() for p in segment_paths(folder)
    }
    assert sorted(path.name for path in again.iterdir()) == [
        "cursor.json",
        *sorted(p.name for p in segment_paths(folder)),
    ]
    assert load_cursor(again, wanted.tracking.url) == load_cursor(folder, wanted.tracking.url)
    save_order(again, load_order(folder))
    assert ship(again) == 0
    assert trials_of(again) == before
    assert parent_of(again).info.run_id == parent
    assert table_of(again, tmp_path)["trial"] == list(range(9))


def test_a_damaged_artifact_is_left_out(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder, wanted = shipped(make_folder)
    name = segment_paths(folder)[1].name
    (stored,) = (tmp_path / "artifacts").rglob(name)
    stored.write_bytes(stored.read_bytes()[:-7])
    again = tmp_path / "again"
    again.mkdir()
    found = rebuild(again, wanted)
    assert found is not None
    assert (found.segments, found.damaged) == (2, 1)
    assert name not in {path.name for path in again.iterdir()}


def test_another_study_is_not_taken_for_it(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder, wanted = shipped(make_folder)
    again = tmp_path / "again"
    again.mkdir()
    assert rebuild(again, StudyQuery(wanted.tracking, NAME, NAME, {"0.1.0": "another fingerprint"})) is None
    assert not may_be_there(StudyQuery(wanted.tracking, "dep", "dep", {"0.1.0": "f1"}))
    assert not may_be_there(StudyQuery(parse_tracking(f"sqlite:///{tmp_path}/none.db"), NAME, NAME, {"0.1.0": "f1"}))
    assert may_be_there(StudyQuery(parse_tracking("http://127.0.0.1:9"), NAME, NAME, {"0.1.0": "f1"}))
    client_of(folder).delete_run(parent_of(folder).info.run_id)
    assert rebuild(again, wanted) is None
    assert list(again.iterdir()) == []
