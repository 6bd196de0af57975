"""What a file of arrays says of them in its headers, so that its size is known without reading it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy_format

from gradstab.study.data_file import DataError, shown, understood
from gradstab.study.tensor_tree import Header, header
from gradstab.study.torch_file import torch_headers

LONGEST_HEADER = 100_000_000  # bytes, as safetensors itself has it


class Numbers(NamedTuple):
    """Where a flat file keeps its numbers."""

    dtype: np.dtype[Any]
    offset: int  # bytes before the first number
    size: int


class SafeTensor(NamedTuple):
    """Where a safetensors file keeps one tensor; `begin` and `end` count from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def headers(path: Path) -> object:
    """The content of an array file, with a Header in place of every array.

    Raises:
        DataError: the file cannot be read, or it is none of .npz, .pt, .pth and .safetensors.
    """
    match path.suffix.lower():
        case ".npz":
            return _npz_headers(path)
        case ".pt" | ".pth":
            return torch_headers(path)
        case ".safetensors":
            return {name: Header(tensor.shape) for name, tensor in safetensors_header(path).items()}
    raise DataError(f"tensors must be in a file .npz, .pt, .pth or .safetensors, got {shown(path)}.")


def header_shape(file: IO[bytes]) -> tuple[int, ...]:
    """Shape of an array from its .npy header.

    Raises:
        ValueError: it is no .npy header, or one of an array of Python objects.
    """
    shape, dtype = _npy_header(file)
    if dtype.hasobject:
        raise ValueError("X holds Python objects")
    return shape


def numbers_in_npy(path: Path) -> Numbers:
    """Where a .npy file keeps its numbers.

    Raises:
        DataError: it cannot be read, or it holds anything but one row of numbers.
    """
    with understood(path, "be a .npy file", " Write it with numpy.save."), path.open("rb") as file:
        shape, dtype = _npy_header(file)
        offset = file.tell()
    if len(shape) != 1:
        raise DataError(f"{path} must hold one row of token ids, got an array of shape {shape}: flatten it.")
    if path.stat().st_size < offset + shape[0] * dtype.itemsize:
        raise DataError(f"{path} must hold the {shape[0]} numbers that its header promises, but it ends before.")
    return Numbers(dtype, offset, shape[0])


def safetensors_header(path: Path) -> dict[str, SafeTensor]:
    """Where a safetensors file keeps each of its tensors: eight bytes of length, a JSON table, then the numbers.

    Raises:
        DataError: it cannot be read, or it is no such file.
    """
    found = {}
    with understood(path, "be a safetensors file"), path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > LONGEST_HEADER:
            raise ValueError(f"its table would be {length} bytes long")
        table = json.loads(file.read(length))
        start, size = 8 + length, path.stat().st_size
        for name, entry in table.items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                if not 0 <= begin <= end or start + end > size:
                    raise ValueError(f"it ends before {name} does")
                shape = header(entry["shape"]).shape
                found[name] = SafeTensor(str(entry["dtype"]), shape, start + begin, start + end)
    return found


def _npz_headers(path: Path) -> dict[str, Header]:
    found = {}
    must, advice = "be an npz file of plain numeric arrays", " Write it with numpy.savez."
    with understood(path, must, advice), zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if member.endswith(".npy"):
                name = member.removesuffix(".npy")
                with archive.open(member) as file:
                    shape, dtype = _npy_header(file)
                if dtype.hasobject:
                    raise ValueError(f"{name} holds Python objects")
                found[name] = header(shape)
    return found


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy_format.read_magic(file)
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype
