"""Data of studies of modules: what ships, held against numbers worked out by hand, and rows of the user's own files."""

from __future__ import annotations

import os
import random
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradstab.study.data_spec import (
    Adding,
    AnyData,
    Copying,
    DigitImages,
    DigitPixels,
    DigitRows,
    Digits,
    FromFunction,
    Npz,
    Teacher,
    Tensors,
    TextBytes,
    Tokens,
)
from gradstab.study.tensor_tree import leaves
from gradstab.training.data import load_dataset
from gradstab.training.tensor_data import TensorData, load_tensor_data
from tests.tensor_files import SUFFIXES, save

CPU = torch.device("cpu")


def rows_of(data: TensorData, *rows: int) -> tuple[Any, Any]:
    return data.batch(np.array(rows), torch.float64, CPU)


@pytest.mark.parametrize(
    ("spec", "inputs", "targets", "features"),
    [
        (Digits(), (1797, 64), (1797,), 64),
        (Teacher(num_rows=70, num_features=5, num_classes=3), (70, 5), (70,), 5),
        (DigitImages(), (1797, 1, 8, 8), (1797,), 64),
        (DigitRows(), (1797, 8, 8), (1797,), 64),
        (DigitPixels(), (1797, 64, 1), (1797,), 64),
        (Adding(6, num_rows=70), (70, 6, 2), (70, 1), 12),
        (Copying(3, num_rows=70), (70, 23), (70, 23), 23),
        (TextBytes(context=9, num_rows=70), (70, 9), (70, 9), 9),
    ],
    ids=lambda case: getattr(case, "type", ""),
)
def test_what_ships_has_the_shape_promised(spec: AnyData, inputs: tuple[int, ...], targets: tuple[int, ...], features):
    data = load_tensor_data(spec, 3)
    assert (tuple(data.inputs.shape), tuple(data.targets.shape)) == (inputs, targets)
    assert (data.num_rows, spec.shape().num_rows) == (inputs[0], inputs[0])
    assert data.shape.num_features == spec.shape().num_features == features


def test_fixed_rows_are_those_of_a_fully_connected_study():
    ours, theirs = load_tensor_data(Digits(), 5), load_dataset(Digits(), 5)
    np.testing.assert_array_equal(ours.order_N, theirs.order_N)
    np.testing.assert_array_equal(ours.accuracy_rows, theirs.accuracy_rows)
    assert not set(ours.accuracy_rows) & set(ours.probe_rows(128))
    np.testing.assert_array_equal(ours.probe_rows(128), theirs.probe_rows(128))
    np.testing.assert_array_equal(ours.inputs.numpy(), theirs.x_ND)
    np.testing.assert_array_equal(ours.targets.numpy(), theirs.y_N)


@pytest.mark.parametrize("spec", [DigitImages(), DigitRows(), DigitPixels()], ids=lambda spec: spec.type)
def test_digits_are_the_same_pixels_in_reading_order(spec: AnyData):
    data, flat = load_tensor_data(spec, 0), load_dataset(Digits(), 0)
    np.testing.assert_array_equal(data.inputs.reshape(1797, 64).numpy(), flat.x_ND)
    np.testing.assert_array_equal(data.targets.numpy(), flat.y_N)


def test_adding_marks_one_number_in_each_half_and_asks_for_their_sum():
    data = load_tensor_data(Adding(7, num_rows=5000), 1)
    value_NT, mark_NT = data.inputs[..., 0].double(), data.inputs[..., 1].double()
    assert set(mark_NT.unique().tolist()) == {0.0, 1.0}
    assert (mark_NT[:, :3].sum(1) == 1).all()
    assert (mark_NT[:, 3:].sum(1) == 1).all()
    torch.testing.assert_close((value_NT * mark_NT).sum(1, keepdim=True), data.targets.double())
    counts = mark_NT.sum(0)  # each place of a half is marked equally often: 1667 of 3 places, 1250 of 4
    assert ((counts[:3] - 5000 / 3).abs() < 150).all()
    assert ((counts[3:] - 5000 / 4).abs() < 150).all()
    error = (data.targets.double() - 1.0).square()
    assert abs(float(error.mean()) - 1 / 6) < 4 * float(error.std()) / 5000**0.5
    other = load_tensor_data(Adding(7, num_rows=5000), 2)
    assert not torch.equal(other.inputs, data.inputs)


def test_copying_shows_ten_symbols_and_asks_for_them_at_the_end():
    data = load_tensor_data(Copying(4, num_symbols=3, num_rows=500), 1)
    inputs, targets = data.inputs, data.targets
    assert sorted(inputs[:, :10].unique().tolist()) == [1, 2, 3]
    # ten symbols, three blanks and the signal 4, ten blanks
    assert inputs[:, 10:].unique(dim=0).tolist() == [[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]
    assert not targets[:, :14].any()
    assert torch.equal(targets[:, 14:], inputs[:, :10])


def test_bytes_of_a_text_are_taken_evenly_and_asked_for_one_place_on(tmp_path: Path):
    path = tmp_path / "text.txt"
    path.write_bytes(bytes(range(200)) + bytes([7]))
    data = load_tensor_data(TextBytes(path, context=2, num_rows=64), 0)  # 200 bytes have a successor: stride 3
    inputs, targets = rows_of(data, 0, 1, 63)
    assert inputs.tolist() == [[0, 1], [3, 4], [189, 190]]
    assert targets.tolist() == [[1, 2], [4, 5], [190, 191]]
    assert inputs.dtype == targets.dtype == torch.int64


def test_the_text_that_comes_with_python_is_its_manual():
    text = TextBytes().text()
    assert b"assertion" in text
    assert len(text) > 300_000


TYPES = ("uint8", "uint16", "int32", "uint32", "int64", "uint64")


# a .bin file says nothing of its byte order: it is little-endian
@pytest.mark.parametrize(("suffix", "dtype"), [*((s, t) for s in (".npy", ".bin") for t in TYPES), (".npy", ">i4")])
def test_token_windows_do_not_overlap_and_targets_are_one_place_on(tmp_path: Path, suffix: str, dtype: Any):
    path = tmp_path / f"tokens{suffix}"
    ids = np.arange(199, dtype=dtype)
    if suffix == ".npy":
        np.save(path, ids)
        spec = Tokens(path, 3)
    else:
        ids.tofile(path)
        spec = Tokens(path, 3, dtype=dtype)
    data = load_tensor_data(spec, 0)
    assert spec.shape().num_rows == data.num_rows == 66  # 198 tokens have a successor
    inputs, targets = rows_of(data, 0, 1, 65)
    assert inputs.tolist() == [[0, 1, 2], [3, 4, 5], [195, 196, 197]]
    assert targets.tolist() == [[1, 2, 3], [4, 5, 6], [196, 197, 198]]
    assert inputs.dtype == targets.dtype == torch.int64


def test_tokens_of_a_file_larger_than_the_memory_are_read_row_by_row(tmp_path: Path):
    path = tmp_path / "tokens.bin"
    with path.open("wb") as file:
        file.truncate(2 * 10**11)  # two hundred gigabytes of holes
        file.seek(2 * 99_999 * 999_999)
        file.write(np.array([1, 2, 3], dtype=np.uint16).tobytes())
    data = load_tensor_data(Tokens(path, 999_999), 0)
    inputs, targets = rows_of(data, 99_999, 17)
    assert data.num_rows == 100_000
    assert inputs.shape == targets.shape == (2, 999_999)
    assert inputs[0, :4].tolist() == [1, 2, 3, 0]
    assert targets[0, :3].tolist() == [2, 3, 0]
    assert not inputs[1].any()


DTYPES = (torch.float32, torch.bfloat16, torch.int64, torch.bool)


@st.composite
def trees(draw: st.DrawFn) -> dict[str, torch.Tensor]:
    """Tensors under flat names: inputs and targets as one tensor, or as a dict or tuple of up to three."""
    num_rows = draw(st.integers(64, 80))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    found = {}
    for part in draw(st.sampled_from([("inputs", "targets"), ("X", "y")])):
        names = draw(st.sampled_from([[part], [f"{part}.a", f"{part}.b"], [f"{part}.0", f"{part}.1", f"{part}.2"]]))
        for name in names:
            row = draw(st.lists(st.integers(1, 4), max_size=3))
            numbers = torch.randint(-3, 9, (num_rows, *row), generator=generator)
            found[name] = numbers.to(draw(st.sampled_from(DTYPES)))
    return found


def whole(tensors: dict[str, torch.Tensor], part: str) -> Any:
    if part in tensors:
        return tensors[part]
    inner = {name.partition(".")[2]: tensor for name, tensor in tensors.items() if name.startswith(f"{part}.")}
    return tuple(inner.values()) if "0" in inner else inner


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tensors=trees(), suffix=st.sampled_from(SUFFIXES), seed=st.integers(0, 2**31), data=st.data())
def test_a_batch_is_the_same_as_indexing_the_whole_tensors(tmp_path: Path, tensors, suffix, seed, data):
    if suffix == ".npz":  # numpy has no bfloat16
        tensors = {
            name: tensor.float() if tensor.dtype is torch.bfloat16 else tensor for name, tensor in tensors.items()
        }
    spec = Tensors(save(tmp_path / f"own{suffix}", tensors))
    loaded = load_tensor_data(spec, seed)
    rows = data.draw(st.lists(st.integers(0, loaded.num_rows - 1), min_size=1, max_size=20))
    parts = ("X", "y") if any(name.startswith("X") for name in tensors) else ("inputs", "targets")
    for got, part in zip(rows_of(loaded, *rows), parts, strict=True):
        expected = whole(tensors, part)
        assert type(got) is type(expected)
        for (name, ours), (other, theirs) in zip(leaves(got, part), leaves(expected, part), strict=True):
            assert name == other
            wanted = theirs[rows].double() if theirs.is_floating_point() else theirs[rows]
            assert ours.dtype == wanted.dtype
            assert torch.equal(ours, wanted)
    per_row = sum(leaf[0].numel() for _, leaf in leaves(whole(tensors, parts[0]), ""))
    assert spec.shape() == loaded.shape
    assert spec.shape().num_features == per_row
    assert sorted(loaded.order_N) == list(range(loaded.num_rows))


def test_nested_parts_of_a_torch_file_stay_nested(tmp_path: Path):
    path = tmp_path / "own.pt"
    x = torch.arange(140.0).reshape(70, 2)
    torch.save({"inputs": {"ids": [x, (x + 1, x + 2)]}, "targets": x[:, 0], "notes": torch.ones(3)}, path)
    inputs, targets = rows_of(load_tensor_data(Tensors(path), 0), 69)
    assert inputs["ids"][0].tolist() == [[138, 139]]
    assert inputs["ids"][1][1].tolist() == [[140, 141]]
    assert targets.tolist() == [138]


def test_numbers_of_types_with_few_operations_come_as_int64(tmp_path: Path):
    path = tmp_path / "own.npz"
    np.savez(path, inputs=np.ones((70, 2), dtype=np.complex64), targets=np.arange(70, dtype=np.uint16))
    inputs, targets = rows_of(load_tensor_data(Tensors(path), 0), 5)
    assert inputs.dtype == torch.complex128
    assert (targets.dtype, targets.tolist()) == (torch.int64, [5])


def test_own_rows_in_the_old_form_are_scaled_and_labelled_as_they_always_were(tmp_path: Path):
    path = tmp_path / "own.npz"
    np.savez(path, X=np.full((70, 2, 2), 3.0), y=np.repeat(["cat", "dog"], 35))
    inputs, targets = rows_of(load_tensor_data(Npz(path=path), 0), 0, 69)
    assert inputs.tolist() == [[1.0] * 4] * 2
    assert targets.tolist() == [0, 1]


def noise() -> tuple[torch.Tensor, np.ndarray[Any, Any]]:
    return torch.randn(70, 2), np.random.default_rng(random.getrandbits(30)).normal(size=(70, 3)) + np.random.rand()


def test_a_function_draws_the_same_at_every_call_and_leaves_the_generators_alone():
    spec = FromFunction("study.py:noise")
    before = (torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].tolist(), random.getstate())
    first = load_tensor_data(spec, 7, noise)
    after = (torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].tolist(), random.getstate())
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    torch.rand(1), np.random.rand(), random.random()  # the second call starts from elsewhere
    known = spec.known_as(first.content_hash(), first.shape)
    assert known.shape().num_features == 2
    assert torch.equal(load_tensor_data(known, 7, noise).targets, first.targets)
    assert not torch.equal(load_tensor_data(spec, 8, noise).inputs, first.inputs)


def test_the_hash_of_the_content_sees_every_number_name_and_type():
    x, y = torch.arange(140.0).reshape(70, 2), torch.arange(70)
    pairs: list[tuple[Any, Any]] = [(x, y), (x + 1, y), (x.double(), y), (x.reshape(70, 1, 2), y), ({"a": x}, y), ((x,), y), (x, y + 1), (y, x), (x, 0 * y), (x, 0 * y.double())]  # fmt: skip
    hashes = [load_tensor_data(FromFunction("s:f"), 0, partial(tuple, pair)).content_hash() for pair in pairs]
    assert len(set(hashes)) == len(pairs)


def test_a_file_that_nobody_may_write_to_can_be_read(tmp_path: Path):
    path = tmp_path / "tokens.bin"
    np.arange(300, dtype=np.uint16).tofile(path)
    path.chmod(0o444)
    assert os.access(path, os.R_OK)
    assert rows_of(load_tensor_data(Tokens(path, 4), 0), 1)[0].tolist() == [[4, 5, 6, 7]]
