"""Data of studies of modules as a declaration: shapes from headers alone, known by content, and who may name a function."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

import gradstab
from gradstab.errors import StudyError, UsageError
from gradstab.record.study_folder import StudyFolder
from gradstab.study.axes import LogInteger
from gradstab.study.data_spec import (
    Adding,
    AnyData,
    Copying,
    DataError,
    Digits,
    FromFunction,
    Mnist,
    Npz,
    Teacher,
    Tensors,
    TextBytes,
    Tokens,
    file_of,
)
from gradstab.study.file import load_study_file
from gradstab.study.origin import FromData
from gradstab.study.pack_key import DataShape
from gradstab.study.study import Study
from tests.tensor_files import SUFFIXES, save


def study(data: object, origin: FromData | None = None) -> Study:
    return Study.model_validate(
        {
            "name": "s",
            "question": "q",
            "space": {"depth": LogInteger(2, 4)},
            "recipe": {"probe_samples": 64},
            "model": {"build": "residual"},
            "budget": {"trials": 1},
            "data": data,
        },
        context=origin,
    )


def rows(path: Path, num_rows: int = 70, offset: float = 0.0) -> Path:
    x = torch.arange(num_rows * 6.0).reshape(num_rows, 2, 3) + offset
    return save(path, {"inputs.a": x, "inputs.b": x[:, 0, :1], "targets": torch.arange(num_rows)})


def tokens(path: Path, count: int = 1000) -> Path:
    np.arange(count, dtype=np.uint16).tofile(path)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_shape_comes_from_headers_and_counts_the_numbers_of_a_row(tmp_path: Path, suffix: str):
    assert Tensors(rows(tmp_path / f"own{suffix}")).shape() == DataShape(70, 7, 1)


def test_the_shape_of_an_array_is_known_without_reading_its_numbers(tmp_path: Path):
    path = tmp_path / "own.safetensors"
    table = b'{"inputs":{"dtype":"F32","shape":[1000000,25000],"data_offsets":[0,100000000000]},"targets":{"dtype":"U8","shape":[1000000],"data_offsets":[100000000000,100001000000]}}'  # fmt: skip
    with path.open("wb") as file:
        file.write(len(table).to_bytes(8, "little") + table)
        file.truncate(8 + len(table) + 100_001_000_000)  # a hundred gigabytes of holes
    assert Tensors(path).shape() == DataShape(1_000_000, 25_000, 1)


def test_tokens_are_counted_by_the_size_of_their_file(tmp_path: Path):
    assert Tokens(tokens(tmp_path / "a.bin"), 9).shape() == DataShape(111, 9, 1)  # 999 tokens have a successor
    assert Tokens(tmp_path / "a.bin", 9, "uint8").shape().num_rows == 222  # of 2000 bytes
    np.save(tmp_path / "a.npy", np.arange(1000))
    assert Tokens(tmp_path / "a.npy", 9).shape() == DataShape(111, 9, 1)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_tensors_elsewhere_are_the_same_study_and_others_are_not(tmp_path: Path, suffix: str):
    def adopted(path: Path) -> StudyFolder:
        given = study(Tensors(path))
        folder.path.mkdir(exist_ok=True)
        folder.claim(folder.with_known_data(given), None)
        return folder

    folder = StudyFolder.of(tmp_path, "s")
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    first = rows(tmp_path / "one" / f"own{suffix}")
    before = adopted(first).study()
    assert isinstance(before.data, Tensors)
    assert before.data.sha256 == hashlib.sha256(first.read_bytes()).hexdigest()
    second = tmp_path / "two" / first.name
    first.rename(second)
    assert folder.study().data.shape() == DataShape(70, 7, 1)  # as recorded
    assert adopted(second).study().fingerprint() == before.fingerprint()
    assert file_of(folder.study().data) == second
    with pytest.raises(UsageError, match=r"\n  - data.sha256: "):
        adopted(rows(tmp_path / "three" / first.name, offset=1.0))


def test_how_a_file_of_tokens_or_a_text_is_cut_is_part_of_the_study(tmp_path: Path):
    path = tokens(tmp_path / "a.bin", 5000)
    for one, other in [
        (Tokens(path, 9), Tokens(path, 10)),
        (Tokens(path, 9), Tokens(path, 9, dtype="uint8")),
        (TextBytes(path, 9, num_rows=100), TextBytes(path, 9, num_rows=101)),
        (TextBytes(num_rows=100), TextBytes(num_rows=101)),
    ]:
        assert study(one).with_data_hash().fingerprint() == study(one).with_data_hash().fingerprint()
        assert study(one).with_data_hash().fingerprint() != study(other).with_data_hash().fingerprint()


def test_a_hash_that_is_given_is_held_against_the_content(tmp_path: Path):
    path = tokens(tmp_path / "a.bin", 5000)
    for spec in (Tensors(rows(tmp_path / "own.npz")), Tokens(path, 9), TextBytes(path, 9, num_rows=64), TextBytes()):
        known = spec.with_data_hash()
        assert known.with_data_hash() == known
        with pytest.raises(DataError, match=f"with SHA-256 {'0' * 64}, got one with {known.sha256}"):
            dataclasses.replace(spec, sha256="0" * 64).with_data_hash()


def test_the_manual_of_another_python_is_another_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = StudyFolder.of(tmp_path, "s")
    folder.path.mkdir()
    folder.claim(folder.with_known_data(study(TextBytes())), None)
    monkeypatch.setattr("pydoc_data.topics.topics", {"assert": "gone"})
    assert folder.study().data.shape() == DataShape(4096, 64, 256)  # results are read with any Python
    monkeypatch.setattr("pydoc_data.topics.topics", {"assert": "It was changed in version 3.99. " * 20_000})
    with pytest.raises(UsageError, match=r"\n  - data.sha256: "):
        folder.claim(folder.with_known_data(study(TextBytes())), None)


def kinds() -> list[Any]:
    return list(get_args(AnyData))


def test_which_data_need_a_module():
    assert {kind for kind in kinds() if not kind.for_modules} == {Digits, Teacher, Npz, Mnist}


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_every_kind_of_data_comes_back_equal_from_its_record(kind: Any, tmp_path: Path):
    np.savez(tmp_path / "own.npz", X=np.ones((70, 2)), y=np.arange(70))
    needed: dict[str, dict[str, Any]] = {
        "Npz": {"path": tmp_path / "own.npz"},
        "Tensors": {"path": rows(tmp_path / "own.pt")},
        "Tokens": {"path": tokens(tmp_path / "own.bin"), "context": 8},
        "FromFunction": {"function": "study.py:rows"},
    }
    declared = study(kind(**needed.get(kind.__name__, {}))).with_data_hash()
    assert Study.model_validate(declared.dump()) == declared
    assert isinstance(declared.data, kind)
    hash(declared.data)  # workers keep loaded data by their declaration


def test_what_ships_can_be_imported_from_gradstab():
    for kind in kinds():
        if kind.for_modules and kind is not FromFunction:
            assert getattr(gradstab, kind.__name__) is kind


PYTHON = """
from gradstab import Adding, Model, Study, Tensors, Tokens
STUDY = Study(name="s", question="q", space={"depth": {"type": "integer", "low": 2, "high": 4}}, budget={"trials": 1},
              recipe={"probe_samples": 64}, model=Model("residual"), data=DATA)
"""


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("Tensors()", r"own.py fails in line 4: .*missing 1 required positional argument: 'path'"),
        ("Tokens('a.bin')", r"own.py fails in line 4: .*missing 1 required positional argument: 'context'"),
        ("Tokens('a.bin', 0)", "data.context must be at least 1, got 0"),
        ("Tokens('a.bin', 9, 'float32')", "data.dtype must be one of uint8, uint16, "),
        ("Tokens('none.bin', 9)", "data: data must be in a file that can be read, got .*none.bin"),
        ("Tensors('rows.csv')", r"data: tensors must be in a file .npz, .pt, .pth or .safetensors, got .*rows.csv"),
        ("Adding(rows=3)", r"own.py fails in line 4: .*unexpected keyword argument 'rows'"),
        ("Adding(1)", "data.length must be at least 2, got 1"),
    ],
)
def test_data_that_a_python_study_declares_wrongly_are_a_sentence(tmp_path: Path, data: str, sentence: str):
    (tmp_path / "own.py").write_text(PYTHON.replace("DATA", data))
    with pytest.raises(UsageError, match=sentence):
        load_study_file(tmp_path / "own.py")


def test_a_path_in_a_python_study_begins_at_its_folder(tmp_path: Path):
    tokens(tmp_path / "a.bin")
    (tmp_path / "own.py").write_text(PYTHON.replace("DATA", "Tokens('a.bin', 9)"))
    assert load_study_file(tmp_path / "own.py").data == Tokens(tmp_path / "a.bin", 9)


def test_only_python_names_a_function():
    named = {"type": "function", "function": "os:getcwd"}
    with pytest.raises(StudyError, match="which alone may name a function to import, got 'os:getcwd'"):
        study(named, FromData())
    assert study(named, FromData(frozenset({"os:getcwd"}))).data == FromFunction("os:getcwd")
    assert study(named).data == FromFunction("os:getcwd")


def test_what_a_function_returned_is_on_record_and_decides_the_study():
    unknown = FromFunction("study.py:rows")
    with pytest.raises(DataError, match=r"study.py:rows is known once a run has called it"):
        unknown.shape()
    known = study(unknown.known_as("a" * 64, DataShape(700, 3, 1)))
    assert Study.model_validate(known.dump()).data.shape() == DataShape(700, 3, 1)
    assert known.fingerprint() != study(unknown.known_as("b" * 64, DataShape(700, 3, 1))).fingerprint()
    with pytest.raises(StudyError, match="probe_samples must be at most the rows of the data set, 50, got 64"):
        study(unknown.known_as("a" * 64, DataShape(50, 3, 1)))


def test_sizes_of_generated_sequences():
    assert Adding(50, num_rows=100).shape() == DataShape(100, 100, 1)
    assert Copying(30, num_symbols=8, num_rows=100).shape() == DataShape(100, 50, 9)
