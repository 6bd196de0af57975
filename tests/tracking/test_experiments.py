"""The experiment of a study: named by a path, and deleted and restored by the user between two runs."""

from __future__ import annotations

from pathlib import Path

from gradstab.errors import StudyError
from gradstab.record.shipping_order import load_order
from gradstab.study.study import Tracking
from gradstab.system.storage_url import parse_tracking
from gradstab.tracking.inspection import MlflowStudy
from gradstab.tracking.restore import StudyQuery, may_be_there, rebuild
from gradstab.tracking.shipping_files import CURSOR_NAME, load_state
from tests.fakes import make_mixed_records
from tests.tracking.conftest import MakeFolder
from tests.tracking.notebook import client_of, ship, trials_of
from tests.tracking.orders import study_over

NAME = "depth-and-scale"
PATH = "/Users/ada@example.org/{name}"


def test_an_experiment_can_be_named_by_a_path_and_its_study_is_found_there(make_folder: MakeFolder, tmp_path: Path):
    folder = make_folder([make_mixed_records(5)], study=NAME, fingerprint="f1", experiment=PATH)
    assert ship(folder) == 0
    assert load_state(folder).experiment_name == f"/Users/ada@example.org/{NAME}"
    experiment = client_of(folder).get_experiment(load_state(folder).experiment_id or "")
    assert Path(experiment.artifact_location.removeprefix("file://")).parent == tmp_path / "artifacts"
    again = tmp_path / "again"
    again.mkdir()
    wanted = StudyQuery(parse_tracking(load_order(folder).uri), NAME, PATH.replace("{name}", NAME), {"0.1.0": "f1"})
    assert may_be_there(wanted)
    assert rebuild(again, StudyQuery.load(wanted.dump())) is not None


def test_a_name_that_a_search_would_misread_is_refused_in_words() -> None:
    assert study_over().tracking.experiment == "{name}"
    for name in ("", "it's", "100%", 'a"b', "a\nb"):
        try:
            study_over(tracking={"experiment": name})
        except StudyError as error:
            assert "tracking.experiment must be 1 to 400 characters without quotation marks" in str(error)  # noqa: PT017
        else:
            raise AssertionError(f"{name!r} was taken")
    assert Tracking(experiment=PATH).experiment == PATH


def test_an_experiment_that_was_deleted_and_restored_leaves_one_after_the_repair(make_folder: MakeFolder) -> None:
    folder = make_folder([make_mixed_records(5)], study=NAME)
    assert ship(folder) == 0
    client, first = client_of(folder), load_state(folder).experiment_id or ""
    client.delete_experiment(first)
    assert ship(folder) == 0
    assert load_state(folder).experiment_id != first
    client.restore_experiment(first)
    study = MlflowStudy(parse_tracking(load_order(folder).uri), load_order(folder).study_id)
    before = study.content()
    assert before is not None
    assert before.num_experiments == 2
    study.delete_other_experiments()
    (folder / CURSOR_NAME).unlink()
    assert ship(folder) == 0
    after = study.content()
    assert after is not None
    assert after.num_experiments == 1
    assert all(len(runs) == 1 for runs in after.trials.values())
    assert sorted(trials_of(folder)) == [0, 1, 2, 3, 4]
