"""A study's own data is known by content: the file may move, as it does with every submitted job, but not change."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gradstab.errors import UsageError
from gradstab.record.study_folder import StudyFolder
from gradstab.study.axes import LogInteger
from gradstab.study.data_spec import DataError, Npz
from gradstab.study.differences import differences
from gradstab.study.study import Study


def saved(folder: Path, offset: float = 0.0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "rows.npz"
    np.savez(path, X=np.arange(600.0).reshape(200, 3) + offset, y=np.arange(200) % 2)
    return path


def study(path: Path, **data: object) -> Study:
    return Study.model_validate(
        {
            "name": "s",
            "question": "q",
            "space": {"depth": LogInteger(2, 4)},
            "budget": {"trials": 1},
            "data": {"type": "npz", "path": path, **data},
        }
    )


def npz_of(declared: Study) -> Npz:
    assert isinstance(declared.data, Npz)
    return declared.data


def adopted(folder: StudyFolder, given: Study) -> None:
    folder.path.mkdir(exist_ok=True)
    folder.claim(folder.with_known_data(given), None)


def test_the_same_file_elsewhere_is_the_same_study_and_another_file_is_not(tmp_path):
    folder = StudyFolder.of(tmp_path, "s")
    adopted(folder, study(saved(tmp_path / "job-1")))
    before = folder.study().fingerprint()
    (tmp_path / "job-1" / "rows.npz").unlink()  # Ray clears a job's folder away
    adopted(folder, study(saved(tmp_path / "job-2")))
    assert folder.study().fingerprint() == before
    assert npz_of(folder.study()).path == tmp_path / "job-2" / "rows.npz"
    with pytest.raises(UsageError, match=r"must keep its .*data.*once it has begun.*\n  - data.sha256: "):
        adopted(folder, study(saved(tmp_path / "job-3", offset=1.0)))


def test_a_study_that_began_when_paths_counted_goes_on_by_its_path(tmp_path):
    path = saved(tmp_path / "data")
    folder = StudyFolder.of(tmp_path, "s")
    folder.path.mkdir()
    folder.claim(study(path), None)
    assert "sha256" not in json.dumps(folder.study().dump())
    before = folder.study().fingerprint()
    adopted(folder, study(path))
    assert folder.study().fingerprint() == before
    with pytest.raises(UsageError, match=r"data\.path: "):
        adopted(folder, study(saved(tmp_path / "elsewhere")))


def test_a_hash_that_a_person_gives_is_held_against_the_file(tmp_path):
    path = saved(tmp_path)
    known = study(path).with_data_hash()
    assert study(path, sha256=npz_of(known).sha256).with_data_hash() == known
    assert Study.model_validate(known.dump()).fingerprint() == known.fingerprint()
    assert differences(known.fingerprinted(), study(path, sha256="0" * 64).fingerprinted()) != []
    with pytest.raises(
        DataError, match=f"must be the file with SHA-256 {'0' * 64}, got one with {npz_of(known).sha256}"
    ):
        study(path, sha256="0" * 64).with_data_hash()
    with pytest.raises(DataError, match="data must be in a file that can be read"):
        Npz(path=tmp_path / "none.npz").with_data_hash()


def test_what_was_measured_can_be_read_when_the_data_is_gone(tmp_path):
    path = saved(tmp_path / "job")
    folder = StudyFolder.of(tmp_path, "s")
    adopted(folder, study(path))
    before = folder.study()
    path.unlink()
    assert folder.study() == before
    assert folder.study().data.shape() == before.data.shape()
    assert (before.data.shape().num_rows, before.data.shape().num_classes) == (200, 2)
    with pytest.raises(DataError, match="data must be in a file that can be read"):  # but not trained on
        folder.study().with_data_hash()
