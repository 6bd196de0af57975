"""Data of studies of modules that cannot be trained on say so in one sentence, when a study is declared if they can."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gradstab.study.data_spec import AnyData, DataError, DigitRows, FromFunction, Tensors, TextBytes, Tokens
from gradstab.training.data import load_dataset
from gradstab.training.tensor_data import load_tensor_data
from tests.tensor_files import save, save_safetensors

ROWS = np.ones((70, 2))
ORDER = np.arange(70)


def fault(spec: AnyData, function: Callable[[], Any] | None = None) -> str:
    with pytest.raises(DataError) as caught:
        load_tensor_data(spec, 0, function)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def early_fault(spec: AnyData) -> str:
    """The sentence, which the shape alone brings too."""
    sentence = fault(spec)
    with pytest.raises(DataError) as caught:
        spec.shape()
    assert str(caught.value) == sentence
    return sentence


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({}, "must hold inputs and targets (or X and y), got nothing"),
        ({"inputs": ROWS}, "must hold inputs and targets (or X and y), got inputs"),
        ({"X": ROWS, "targets": ORDER}, "must hold inputs and targets (or X and y), got X, targets"),
        (
            {"inputs": ROWS, "inputs.a": ROWS, "targets": ORDER},
            "inputs as one array or in parts, got inputs and inputs.a",
        ),
        ({"inputs": ROWS, "targets": ORDER[1:]}, "as many rows in each array (axis 0), got inputs 70, targets 69"),
        ({"inputs.a": ROWS, "inputs.b": ROWS[1:], "targets": ORDER}, "got inputs.a 70, inputs.b 69, targets 70"),
        ({"inputs": ROWS, "targets": np.float64(1)}, "one row a sample, got a single number as targets"),
        ({"inputs": ROWS[:0], "targets": ORDER[:0]}, "at least 64 rows, got 0"),
        ({"inputs": ROWS[:63], "targets": ORDER[:63]}, "at least 64 rows, got 63"),
        ({"inputs": ROWS[:, :0], "targets": ORDER}, "numbers in each row, got inputs of shape (70, 0)"),
        (
            {"inputs": np.array([[None]] * 70), "targets": ORDER},
            "plain numeric arrays, but: inputs holds Python objects",
        ),
    ],
)
def test_arrays_whose_headers_are_at_fault_are_refused_before_they_are_read(arrays, sentence, tmp_path: Path):
    path = tmp_path / "own.npz"
    np.savez(path, allow_pickle=True, **arrays)
    assert sentence in early_fault(Tensors(path))


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"inputs": ROWS.astype("U1"), "targets": ORDER}, "must hold numbers, got type <U1 as inputs"),
        ({"inputs": ROWS, "targets": ORDER.astype("M8[s]")}, "must hold numbers, got type datetime64[s] as targets"),
        ({"inputs": ROWS.astype(np.longdouble), "targets": ORDER}, "of a type that torch has, got float128 as inputs"),
        ({"inputs": np.vstack([ROWS, [[np.nan, 1]]]), "targets": np.arange(71)}, "got 1 rows of inputs with others, first row 70"),
        ({"inputs": np.ones((70, 1), complex) * 1j / 0.5, "targets": ROWS * np.inf}, "got 70 rows of targets with others, first row 0"),
        ({"inputs": ROWS, "targets": np.full(70, 2**63, dtype=np.uint64)}, "at most 9223372036854775807, got a larger one in targets"),
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_trained_on_are_refused_once_they_are_read(arrays, sentence, tmp_path: Path):
    path = tmp_path / "own.npz"
    np.savez(path, **arrays)
    assert sentence in fault(Tensors(path))


@pytest.mark.parametrize("suffix", [".npz", ".pt", ".safetensors"])
def test_missing_torn_and_foreign_files_are_refused(suffix: str, tmp_path: Path):
    path = tmp_path / f"own{suffix}"
    assert f"a file that can be read, got {path}: No such file or directory" in early_fault(Tensors(path))
    path.mkdir()
    assert "a file that can be read" in early_fault(Tensors(path))
    path.rmdir()
    for content in (b"", b"no archive", b"\x80\x02" * 50, bytes(range(256)) * 10):
        path.write_bytes(content)
        assert str(path) in early_fault(Tensors(path))
    save(path, {"inputs": torch.ones(70, 2), "targets": torch.zeros(70)})
    whole = path.read_bytes()
    for size in (len(whole) - 1, len(whole) // 2, 20):
        path.write_bytes(whole[:size])
        assert str(path) in fault(Tensors(path))


@pytest.mark.parametrize("suffix", [".npz", ".pt", ".safetensors", ".bin", ".npy"])
def test_what_is_no_file_is_refused_and_never_waited_for(suffix: str, tmp_path: Path):
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    (tmp_path / f"loop{suffix}").symlink_to(f"loop{suffix}")
    for name in ("pipe", "folder", "loop", "a\0b", "a\nb", "\ud800", "a" * 5000):
        path = tmp_path / f"{name}{suffix}"
        spec = Tokens(path, 4) if suffix in (".bin", ".npy") else Tensors(path)
        sentence = early_fault(spec)
        assert sentence.startswith("data must be in a file that can be read, got ")
        assert len(sentence) < 500
        assert sentence.isprintable()
        with pytest.raises(DataError, match="data must be in a file that can be read"):
            spec.with_data_hash()


@pytest.mark.parametrize("suffix", [".npz", ".pt", ".safetensors"])
def test_any_damaged_byte_ends_in_a_sentence_or_in_other_numbers(suffix: str, tmp_path: Path):
    path = save(tmp_path / f"own{suffix}", {"inputs": torch.ones(70, 2), "targets": torch.zeros(70)})
    whole = path.read_bytes()
    refused = []
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            load_tensor_data(Tensors(path), 0)
        except DataError as error:
            refused.append(str(error))
    assert len(refused) > 5
    assert not [sentence for sentence in refused if "\n" in sentence]


def test_a_torch_file_holds_tensors_and_nothing_else(tmp_path: Path):
    path = tmp_path / "own.pt"
    x = torch.ones(70, 2)
    cases = [
        (torch.nn.Linear(2, 2), "nothing but tensors, tuples and dicts of them"),
        ({"inputs": x, "targets": x.to_sparse()}, "nothing but tensors, tuples and dicts of them"),
        ([x, x], "must hold inputs and targets (or X and y), got a list"),
        (x, "must hold inputs and targets (or X and y), got one array"),
        ({"inputs": {"a": x, "b": 3}, "targets": x}, "must hold tensors or arrays, got int as inputs.b"),
        ({"inputs": {}, "targets": x}, "at least one array as inputs, got none"),
        ({"inputs": x, "targets": x[1:]}, "got inputs 70, targets 69"),
    ]
    for content, sentence in cases:
        torch.save(content, path)
        assert sentence in early_fault(Tensors(path))
    torch.save({"inputs": x, "targets": x.to(torch.float8_e4m3fn)}, path)
    assert "dense tensors of plain numbers" in fault(Tensors(path))
    torch.save({"inputs": x, "targets": x}, path, _use_new_zipfile_serialization=False)
    assert "must be a file of torch.save" in early_fault(Tensors(path))


def test_a_safetensors_table_that_lies_is_refused(tmp_path: Path):
    path = tmp_path / "own.safetensors"
    save_safetensors(path, {"inputs": torch.ones(70, 2), "targets": torch.zeros(70)})
    whole = path.read_bytes()
    for old, new, sentence in [
        (b"[70, 2]", b"[70, 3]", "inputs of shape (70, 3) in full, got 560 bytes"),
        (b'"F32"', b'"F99"', "numbers of a plain type, got F99 as inputs"),
        (b"[560, 840]", b"[560, 999]", "it ends before targets does"),
    ]:
        assert old in whole
        path.write_bytes(whole.replace(old, new, 1))
        assert sentence in fault(Tensors(path))


@pytest.mark.parametrize(
    ("ids", "suffix", "given", "sentence"),
    [
        (np.arange(50.0), ".npy", {}, "token ids as whole numbers, got type float64"),
        (np.ones((20, 20), int), ".npy", {}, "one row of token ids, got an array of shape (20, 20)"),
        (np.arange(300), ".npy", {"dtype": "uint16"}, "token ids of type uint16, got int64: leave dtype out"),
        (np.arange(-1, 300), ".npy", {}, "at least 0 and at most 9223372036854775807, got -1"),
        (np.full(300, 2**63, np.uint64), ".npy", {}, "got 9223372036854775808"),
        (np.arange(-100, 300, dtype=np.int32), ".bin", {"dtype": "int32"}, "got -100"),
        (np.arange(301, dtype=np.uint8), ".bin", {}, "whole numbers of 2 bytes, got 301 bytes: give dtype"),
        (np.arange(4, dtype=np.uint16), ".bin", {}, "context must be shorter than the text, got 4 for the 4 tokens"),
        (np.arange(0, dtype=np.uint16), ".bin", {}, "context must be shorter than the text, got 4 for the 0 tokens"),
        (np.arange(256, dtype=np.uint16), ".bin", {}, "at least 64 rows, got 63"),
        (np.arange(300, dtype=np.uint16), ".txt", {}, "token ids must be in a file .npy or .bin"),
    ],
)  # fmt: skip
def test_token_files_that_hold_no_rows_of_tokens_are_refused(ids, suffix, given, sentence, tmp_path: Path):
    path = tmp_path / f"tokens{suffix}"
    if suffix == ".npy":
        np.save(path, ids)
    else:
        ids.tofile(path)
    assert sentence in fault(Tokens(path, 4, **given))


def test_missing_and_torn_token_files_are_refused(tmp_path: Path):
    for suffix in (".npy", ".bin"):
        assert "a file that can be read" in early_fault(Tokens(tmp_path / f"none{suffix}", 4))
    path = tmp_path / "torn.npy"
    np.save(path, np.arange(1000))
    path.write_bytes(path.read_bytes()[:-1])
    assert "must hold the 1000 numbers that its header promises" in early_fault(Tokens(path, 4))
    path.write_bytes(b"no array at all")
    assert "must be a .npy file" in early_fault(Tokens(path, 4))
    np.save(path, np.arange(256))
    assert "at least 64 rows, got 63" in early_fault(Tokens(path, 4))


def test_a_text_that_is_too_short_says_what_it_can_give(tmp_path: Path):
    path = tmp_path / "text"
    path.write_bytes(bytes(1000))
    assert "num_rows must be at most 99, as many rows of 10 bytes" in early_fault(TextBytes(path, 10, num_rows=100))
    assert load_tensor_data(TextBytes(path, 10, num_rows=99), 0).num_rows == 99
    assert "context must be shorter than the text" in early_fault(TextBytes(path, 1000, num_rows=64))
    assert "a file that can be read" in early_fault(TextBytes(tmp_path / "none", 10))


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (None, "must return a pair, (inputs, targets), got NoneType"),
        ((ROWS, ORDER, ORDER), "must return a pair, (inputs, targets), got a tuple of 3"),
        ({"inputs": ROWS, "targets": ORDER}, "must return a pair, (inputs, targets), got dict"),
        (ROWS, "must return a pair, (inputs, targets), got ndarray"),
        ((ROWS, [1, 2]), "must hold tensors or arrays, got int as targets.0"),
        ((ROWS, None), "must hold tensors or arrays, got NoneType as targets"),
        (((), ORDER), "at least one array as inputs, got none"),
        ((torch.ones(70, 2, device="meta"), ORDER), "got one on the meta device as inputs"),
        ((ROWS, torch.tensor([float("nan")] * 70)), "got 70 rows of targets with others"),
        ((ROWS[:9], ORDER[:9]), "at least 64 rows, got 9"),
    ],
)
def test_a_function_that_returns_no_pair_of_rows_is_refused(returned, sentence):
    said = fault(FromFunction("study.py:rows"), lambda: returned)
    assert said.startswith("the function study.py:rows must ")
    assert sentence in said


def test_a_function_that_returns_other_numbers_than_on_record_is_refused():
    spec = FromFunction("study.py:rows")
    data = load_tensor_data(spec, 0, lambda: (ROWS, ORDER))
    known = spec.known_as(data.content_hash(), data.shape)
    assert "the same numbers at every call, those with SHA-256" in fault(known, lambda: (ROWS + 1, ORDER))
    assert "has not loaded it" in fault(known)


def test_what_a_function_raises_goes_through():
    def broken() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        load_tensor_data(FromFunction("study.py:rows"), 0, broken)


def test_a_fully_connected_network_takes_rows_of_features_only():
    with pytest.raises(DataError, match=r"data digit_rows .*studies of modules"):
        load_dataset(DigitRows(), 0)
