"""Shapes of the tensors in a file of `torch.save`, without torch and without running what the file says.

Such a file is a zip archive: `data.pkl` describes the tensors, and their numbers lie beside it. The pickle is read by a
reader that knows tensors and containers alone, as `torch.load(weights_only=True)` does.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

from gradstab.study.data_file import DataError, understood
from gradstab.study.tensor_tree import Header, header

_WRITE_IT = " Write it with torch.save({'inputs': ..., 'targets': ...}, path)."
LONGEST_DESCRIPTION = 100_000_000  # bytes; a description of a thousand tensors is a hundred thousand long


def torch_headers(path: Path) -> object:
    """What `torch.load` would return, with a Header in place of every tensor.

    Raises:
        DataError: the file cannot be read, or it holds more than tensors, tuples and dicts of them.
    """
    with understood(path, "be a file of torch.save", _WRITE_IT), zipfile.ZipFile(path) as archive:
        name = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
        if name is None:
            raise DataError(f"{path} must be a file of torch.save, got another zip archive.{_WRITE_IT}")
        if archive.getinfo(name).file_size > LONGEST_DESCRIPTION:
            raise DataError(f"{path} must describe its tensors in at most {LONGEST_DESCRIPTION} bytes.{_WRITE_IT}")
        try:
            return _Reader(io.BytesIO(archive.read(name))).load()
        except _OtherThanTensorsError as error:
            raise DataError(
                f"{path} must hold nothing but tensors, tuples and dicts of them, since other objects run code when "
                f"they are read, got {error}.{_WRITE_IT}"
            ) from error


class _OtherThanTensorsError(Exception):
    """The pickle names something that may run code."""


class _Reader(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> object:
        """Where the numbers of a tensor lie, which its shape does not need."""
        return pid

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_tensor_v3"): _tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
        }
        if (module, name) in known:
            return known[module, name]
        if module in ("torch", "torch.storage") and (name.endswith("Storage") or name.islower()):  # types of numbers
            return name
        raise _OtherThanTensorsError(f"{module}.{name}")


def _tensor(storage: object, offset: int, size: tuple[int, ...], *rest: object) -> Header:
    del storage, offset, rest
    return header(size)


def _parameter(data: Header, *rest: object) -> Header:
    del rest
    return data
