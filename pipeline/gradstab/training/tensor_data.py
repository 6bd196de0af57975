"""The data of a study of modules: trees of tensors of any shape, from which a step takes the rows that it needs.

A tree is a tensor, or a tuple or dict of trees. One row of axis 0 of every tensor is one sample. Array names: N rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradstab.study.data_file import DataError, agreed
from gradstab.study.data_spec import (
    Adding,
    AnyData,
    Copying,
    DigitImages,
    DigitPixels,
    DigitRows,
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
from gradstab.study.pack_key import DataShape
from gradstab.study.tensor_tree import leaves, map_leaves, shape_of
from gradstab.training.data import load_dataset
from gradstab.training.rows import first_rows, fixed_order, rows_of_accuracy
from gradstab.training.sequence_problems import adding_problem, copying_problem
from gradstab.training.tensor_files import checked_tree, read_tensors, read_tokens, row_windows
from gradstab.training.tensor_functions import called

Tree = Any  # a tensor, or a tuple or dict of trees


class _Rows(NamedTuple):
    inputs: Tree
    targets: Tree
    are_tokens: bool = False


@dataclass(frozen=True)
class TensorData:
    """Training rows of a study of modules.

    Attributes:
        inputs: what the module is given. Tensors of a file of tokens are views of the file, read as they are indexed.
        targets: what the loss is given.
        num_rows: number of samples, the length of axis 0 of every tensor.
        order_N: the rows in an order drawn from the study's seed; probes read its first rows.
        accuracy_rows: up to 512 rows on which accuracy is read.
        are_tokens: whether integers are token ids, which a file may hold in fewer bytes than torch takes as an index.
    """

    inputs: Tree
    targets: Tree
    num_rows: int
    order_N: NDArray[np.int64]
    accuracy_rows: NDArray[np.int64]
    are_tokens: bool = False

    @property
    def shape(self) -> DataShape:
        """Rows, numbers in a row of all inputs, and no classes."""
        return shape_of(self.inputs, self.targets, "data")

    def probe_rows(self, count: int) -> NDArray[np.int64]:
        """The first `count` rows of the fixed probe order.

        Raises:
            DataError: there are fewer rows.
        """
        return first_rows(self.order_N, count)

    def batch(self, rows: NDArray[np.int64], dtype: torch.dtype, device: torch.device) -> tuple[Tree, Tree]:
        """Inputs and targets of these rows: real numbers in `dtype`, integers and truth values as they are.

        Token ids are int64 whatever the file holds.
        """
        rows_B = torch.from_numpy(np.array(rows))

        def taken(_: str, tensor: Tensor) -> Tensor:
            part = tensor.index_select(0, rows_B)
            return part.to(device, self._batch_type(part.dtype, dtype))

        return map_leaves(taken, self.inputs, "inputs"), map_leaves(taken, self.targets, "targets")

    def content_hash(self) -> str:
        """SHA-256 of names, types, shapes and numbers of all tensors, as hex."""
        found = hashlib.sha256()
        for name, tensor in (*leaves(self.inputs, "inputs"), *leaves(self.targets, "targets")):
            found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            found.update(memoryview(tensor.contiguous().view(-1).view(torch.uint8).numpy()))
        return found.hexdigest()

    def _batch_type(self, kept: torch.dtype, dtype: torch.dtype) -> torch.dtype:
        if kept.is_floating_point:
            return dtype
        if kept.is_complex:
            return dtype.to_complex()
        return torch.int64 if self.are_tokens else kept


def load_tensor_data(spec: AnyData, study_seed: int, function: Callable[[], Any] | None = None) -> TensorData:
    """The data that a study of modules names.

    Rows of `Digits`, `Teacher`, `Npz` and `Mnist` have mean square 1, as fully connected networks are given them.

    Args:
        function: the function that a FromFunction names.

    Raises:
        DataError: the data cannot be read, made or trained on. What a function itself raises goes through.
    """
    rows = _rows(spec, study_seed, function)
    source = source_of(spec)
    num_rows = shape_of(rows.inputs, rows.targets, source).num_rows
    order_N = fixed_order(num_rows, study_seed)
    data = TensorData(rows.inputs, rows.targets, num_rows, order_N, rows_of_accuracy(order_N), rows.are_tokens)
    if isinstance(spec, FromFunction) and spec.sha256 is not None:
        agreed(data.content_hash(), spec.sha256, f"{source} must return the same numbers at every call, those")
    return data


def source_of(spec: AnyData) -> str:
    """How a sentence speaks of the data."""
    if isinstance(spec, FromFunction):
        return f"the function {spec.function}"
    return str(file_of(spec) or spec.type)


def _rows(spec: AnyData, study_seed: int, function: Callable[[], Any] | None) -> _Rows:  # noqa: PLR0911 - one a kind
    match spec:
        case Digits() | Teacher() | Npz() | Mnist():
            return _flat(spec, study_seed)
        case DigitImages():
            return _digits(study_seed, 1, 8, 8)
        case DigitRows():
            return _digits(study_seed, 8, 8)
        case DigitPixels():
            return _digits(study_seed, 64, 1)
        case Adding():
            return _Rows(*adding_problem(spec, study_seed))
        case Copying():
            return _Rows(*copying_problem(spec, study_seed), are_tokens=True)
        case TextBytes():
            text = torch.frombuffer(bytearray(spec.text()), dtype=torch.uint8)
            return _Rows(*row_windows(text, spec.context, spec.stride(), spec.num_rows), are_tokens=True)
        case Tokens():
            tokens = read_tokens(spec)
            num_rows = spec.shape().num_rows
            return _Rows(*row_windows(tokens, spec.context, spec.context, num_rows), are_tokens=True)
        case Tensors():
            return _Rows(*read_tensors(spec.path))
        case FromFunction():
            if function is None:
                raise DataError(f"{source_of(spec)} must be there to be called, but the run has not loaded it.")
            inputs, targets = called(function, source_of(spec), study_seed)
            return _Rows(*checked_tree(inputs, targets, source_of(spec)))


def _flat(spec: Digits | Teacher | Npz | Mnist, study_seed: int) -> _Rows:
    data = load_dataset(spec, study_seed)
    return _Rows(torch.from_numpy(data.x_ND), torch.from_numpy(data.y_N))


def _digits(study_seed: int, *row_shape: int) -> _Rows:
    inputs, targets, _ = _flat(Digits(), study_seed)
    return _Rows(inputs.reshape(-1, *row_shape), targets)
