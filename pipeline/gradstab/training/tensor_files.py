"""Reads the user's arrays and token ids into tensors, and says every fault of them in one sentence."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradstab.study.array_files import headers, safetensors_header
from gradstab.study.data_file import DataError, readable, understood
from gradstab.study.data_spec import Tokens
from gradstab.study.tensor_tree import inputs_and_targets, map_leaves, shape_of

_REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_WIDENED = (torch.uint16, torch.uint32, torch.uint64)  # for which torch has few operations: int64 instead
_TYPES = frozenset((*_REAL, *_WHOLE, *_WIDENED, torch.complex64, torch.complex128, torch.bool))
_LARGEST_ID = torch.iinfo(torch.int64).max
_SAFETENSORS_TYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8},
    **{"U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8, "BOOL": torch.bool},
}


def read_tensors(path: Path) -> tuple[Any, Any]:
    """The trees of inputs and targets of an array file; a .pt file is mapped into memory.

    Raises:
        DataError: the file cannot be read, or what it holds cannot be trained on.
    """
    source, found = str(path), headers(path)  # what the headers tell is said before anything is read
    shape_of(*inputs_and_targets(found, source), source)
    with understood(path, "hold the numbers that its headers promise"):
        if path.suffix.lower() in (".pt", ".pth"):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            trees = inputs_and_targets(content, source)
        else:
            assert isinstance(found, Mapping)
            read = _read_safetensors if path.suffix.lower() == ".safetensors" else _read_npz
            trees = read(path, *inputs_and_targets({name: name for name in found}, source))
    return checked_tree(*trees, source)


def read_tokens(spec: Tokens) -> Tensor:
    """All token ids of a file, as a view of the file: only those that are indexed are read.

    Raises:
        DataError: the file cannot be read, or it holds ids that are negative or too large.
    """
    numbers = spec.numbers()
    spec.shape()  # a context longer than the file is said there; a map of no bytes would fail
    with readable(spec.path):
        ids = np.memmap(spec.path, numbers.dtype, mode="r", offset=numbers.offset, shape=(numbers.size,))
    if numbers.dtype.kind == "i" or numbers.dtype.itemsize == 8:  # smaller unsigned ids all fit
        least, most = int(ids.min()), int(ids.max())
        if least < 0 or most > _LARGEST_ID:
            bad = least if least < 0 else most
            raise DataError(f"{spec.path} must hold token ids of at least 0 and at most {_LARGEST_ID}, got {bad}.")
    if not numbers.dtype.isnative:
        return torch.from_numpy(_native(ids))
    with warnings.catch_warnings():
        # torch warns that it could write to the array. It never does, and a map that may be written to counts as memory
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(ids)


def row_windows(tokens: Tensor, context: int, stride: int, num_rows: int) -> tuple[Tensor, Tensor]:
    """Rows of `context` tokens (N, T), one row every `stride` tokens, and the tokens after each; views, no copies."""
    inputs_NT = tokens[:-1].unfold(0, context, stride)[:num_rows]
    targets_NT = tokens[1:].unfold(0, context, stride)[:num_rows]
    return inputs_NT, targets_NT


def checked_tree(inputs: Any, targets: Any, source: str) -> tuple[Any, Any]:
    """The two trees as tensors on the CPU, if a module can be trained on them.

    Raises:
        DataError: a leaf is no tensor and no array, holds no numbers or some that are not finite, or the rows of the
            leaves do not fit each other.
    """

    def checked(name: str, leaf: Any) -> Tensor:
        return _checked(leaf, name, source)

    trees = map_leaves(checked, inputs, "inputs"), map_leaves(checked, targets, "targets")
    shape_of(*trees, source)
    for tree, name in zip(trees, ("inputs", "targets"), strict=True):
        map_leaves(lambda place, leaf: _require_finite(leaf, place, source), tree, name)
    return trees


def _checked(leaf: Any, name: str, source: str) -> Tensor:
    if isinstance(leaf, np.ndarray):
        if leaf.dtype.kind not in "biufc" or leaf.dtype.itemsize > 16:
            raise DataError(f"{source} must hold numbers, got type {leaf.dtype} as {name}: convert them.")
        try:
            leaf = torch.from_numpy(_native(leaf))
        except TypeError:
            raise DataError(
                f"{source} must hold numbers of a type that torch has, got {leaf.dtype} as {name}."
            ) from None
    if not isinstance(leaf, Tensor):
        raise DataError(f"{source} must hold tensors or arrays, got {type(leaf).__name__} as {name}.")
    if leaf.layout is not torch.strided or leaf.is_quantized or leaf.is_meta or leaf.dtype not in _TYPES:
        kind = "on the meta device" if leaf.is_meta else f"of {leaf.layout} and {leaf.dtype}"
        raise DataError(f"{source} must hold dense tensors of plain numbers, got one {kind} as {name}: convert it.")
    plain = leaf.detach().cpu()
    if plain.dtype not in _WIDENED:
        return plain
    if plain.dtype is torch.uint64 and (plain.view(torch.int64) < 0).any():
        raise DataError(f"{source} must hold integers of at most {_LARGEST_ID}, got a larger one in {name}.")
    return plain.to(torch.int64)


def _require_finite(tensor: Tensor, name: str, source: str) -> None:
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return
    bad_N = ~torch.isfinite(tensor).reshape(len(tensor), -1).all(1)
    if bad_N.any():
        row = int(bad_N.int().argmax())
        raise DataError(
            f"{source} must hold only finite values, got {int(bad_N.sum())} rows of {name} with others, "
            f"first row {row}: remove them."
        )


def _native(array: NDArray[Any]) -> NDArray[Any]:
    """The array, or a copy of it that torch can take: contiguous, writable, of this machine's byte order."""
    if not array.dtype.isnative:
        return array.astype(array.dtype.newbyteorder("="))
    return np.ascontiguousarray(array) if array.flags.writeable else np.array(array)


def _read_npz(path: Path, inputs: Any, targets: Any) -> tuple[Any, Any]:
    with np.load(path, allow_pickle=False) as file:

        def array(_: str, name: str) -> NDArray[Any]:
            held: NDArray[Any] = file[name]
            return held

        return map_leaves(array, inputs, "inputs"), map_leaves(array, targets, "targets")


def _read_safetensors(path: Path, inputs: Any, targets: Any) -> tuple[Any, Any]:
    table = safetensors_header(path)

    def tensor(_: str, name: str) -> Tensor:
        entry = table[name]
        if entry.dtype not in _SAFETENSORS_TYPES:
            raise DataError(f"{path} must hold numbers of a plain type, got {entry.dtype} as {name}: convert them.")
        dtype, num_bytes = _SAFETENSORS_TYPES[entry.dtype], entry.end - entry.begin
        if num_bytes != int(np.prod(entry.shape, dtype=np.int64)) * dtype.itemsize:
            raise DataError(f"{path} must hold {name} of shape {entry.shape} in full, got {num_bytes} bytes.")
        raw = np.fromfile(path, np.uint8, num_bytes, offset=entry.begin)
        return torch.from_numpy(raw).view(dtype).reshape(entry.shape)

    return map_leaves(tensor, inputs, "inputs"), map_leaves(tensor, targets, "targets")
