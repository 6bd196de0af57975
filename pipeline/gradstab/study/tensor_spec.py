"""Data of studies of modules that the user brings: arrays of any shape, files of token ids, and functions.

They are plain dataclasses with a first positional argument, `Tensors("rows.npz")`, checked when the study is built.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from gradstab.study.array_files import Numbers, headers, numbers_in_npy
from gradstab.study.data_file import (
    DataError,
    ForModules,
    KnownShape,
    Sha256,
    hash_of_file,
    readable,
    require_rows,
    shown,
)
from gradstab.study.explained import explained
from gradstab.study.origin import FromData
from gradstab.study.pack_key import DataShape
from gradstab.study.tensor_tree import inputs_and_targets, shape_of

TokenType = Literal["uint8", "uint16", "int32", "uint32", "int64", "uint64"]


class OfFile(ForModules):
    """Data in a file of the user, known by its content; its size is on record, because results outlive their data."""

    path: Path
    sha256: str | None
    known_shape: tuple[int, int, int] | None

    def with_data_hash(self) -> Self:
        """A copy with the file's hash and size.

        Raises:
            DataError: the file cannot be read, or it has another hash than the one that was given.
        """
        found = hash_of_file(self.path, self.sha256)
        shape = dataclasses.astuple(self.shape())
        return dataclasses.replace(self, sha256=found, known_shape=shape)  # type: ignore[type-var]  # its kinds are

    def shape(self) -> DataShape:
        """The size as the file has it; the recorded size if the file is gone.

        Raises:
            DataError: the file cannot be read, or it does not hold what it must.
        """
        if self.known_shape is not None and not self.path.exists():
            return DataShape(*self.known_shape)
        return self.shape_in_file()

    def shape_in_file(self) -> DataShape:
        """The size, without reading the whole file."""
        raise NotImplementedError


@explained
@dataclass(frozen=True)
class Tensors(OfFile):
    """The user's own arrays, of any shape and type: .npz, .pt or .safetensors with `inputs` and `targets`, or X and y.

    Arrays called `inputs.NAME` form a dict, and `inputs.0`, `inputs.1` a tuple; in a .pt file inputs may be a dict or
    a tuple. One row of axis 0 is one sample. Numbers are kept as they are: nothing is scaled or flattened.
    """

    path: Annotated[Path, Field(description="the file: .npz, .pt or .safetensors")]
    sha256: Sha256 = None
    known_shape: KnownShape = None
    type: Literal["tensors"] = "tensors"

    def shape_in_file(self) -> DataShape:
        """The size, from the file's headers.

        Raises:
            DataError: there is no such file, it holds no inputs and targets, or their rows do not fit each other.
        """
        return shape_of(*inputs_and_targets(headers(self.path), str(self.path)), str(self.path))


@explained
@dataclass(frozen=True)
class Tokens(OfFile):
    """A file of token ids, which is read as it is needed: .npy with one axis, or .bin with nothing but the numbers.

    The text is cut into rows of `context` tokens that do not overlap. The targets of a row are its tokens one place
    further on, so the last tokens may be left over. An incomplete row at the end is left out.
    """

    path: Annotated[Path, Field(description="the file: .npy or .bin")]
    context: Annotated[int, Field(ge=1, le=10_000_000, description="tokens in a row")]
    dtype: Annotated[
        TokenType | None,
        Field(description="type of the numbers in a .bin file, uint16 if left out; a .npy file says it"),
    ] = None
    sha256: Sha256 = None
    known_shape: KnownShape = None
    type: Literal["tokens"] = "tokens"

    def shape_in_file(self) -> DataShape:
        """The size, from the size of the file.

        Raises:
            DataError: there is no such file, it holds no token ids, or too few of them for the context.
        """
        num_rows = windows(str(self.path), self.numbers().size, self.context)
        require_rows(str(self.path), num_rows)
        return DataShape(num_rows, self.context, num_classes=1)

    def numbers(self) -> Numbers:
        """Where the file keeps its token ids.

        Raises:
            DataError: there is no such file, or it holds anything but whole numbers of a known type.
        """
        match self.path.suffix.lower():
            case ".npy":
                found = numbers_in_npy(self.path)
                if found.dtype.kind not in "iu":
                    raise DataError(f"{self.path} must hold token ids as whole numbers, got type {found.dtype}.")
                if self.dtype not in (None, found.dtype.name):
                    raise DataError(
                        f"{self.path} must hold token ids of type {self.dtype}, got {found.dtype}: leave dtype out."
                    )
                return found
            case ".bin":
                dtype = np.dtype(self.dtype or "uint16").newbyteorder("<")
                with readable(self.path):
                    num_bytes = self.path.stat().st_size
                if num_bytes % dtype.itemsize:
                    raise DataError(
                        f"{self.path} must hold whole numbers of {dtype.itemsize} bytes, got {num_bytes} bytes: "
                        "give dtype, the type with which it was written."
                    )
                return Numbers(dtype, 0, num_bytes // dtype.itemsize)
        raise DataError(f"token ids must be in a file .npy or .bin, got {shown(self.path)}.")


def _check_function(name: str, info: ValidationInfo) -> str:
    """The name, if values of this origin may name a function; nothing is imported."""
    if isinstance(info.context, FromData) and name not in info.context.import_paths:
        raise PydanticCustomError(
            "import_path_in_data",
            "must be left to a Python study file (STUDY = Study(...)), which alone may name a function to import",
        )
    return name


@explained
@dataclass(frozen=True)
class FromFunction(ForModules):
    """What a function of a Python study returns: `(inputs, targets)`. The declaration holds its name alone.

    The run that begins the study calls it once and writes down hash and size, so that everything that reads results
    works without the function.
    """

    function: Annotated[
        str,
        Field(
            pattern=r"^[^:]+:[^:]+$",
            description="the function, as file.py:name or package.module:name",
            examples=["my_gpt.py:rows"],
        ),
        AfterValidator(_check_function),
    ]
    sha256: Sha256 = None
    known_shape: KnownShape = None
    type: Literal["function"] = "function"

    def with_data_hash(self) -> FromFunction:
        """The same declaration: what the function returns is known once it was called (`known_as`)."""
        return self

    def known_as(self, sha256: str, shape: DataShape) -> FromFunction:
        """A copy that knows what the function returned."""
        return dataclasses.replace(self, sha256=sha256, known_shape=dataclasses.astuple(shape))

    def shape(self) -> DataShape:
        """The size that is on record.

        Raises:
            DataError: the function has not been called yet.
        """
        if self.known_shape is None:
            raise DataError(f"the size of the data of {self.function} is known once a run has called it.")
        return DataShape(*self.known_shape)


def windows(source: str, num_tokens: int, context: int) -> int:
    """How many rows of `context` tokens, with one more token as the last target, do not overlap.

    Raises:
        DataError: not even one.
    """
    if num_tokens <= context:
        raise DataError(
            f"context must be shorter than the text, got {context} for the {num_tokens} tokens of {source}: lower it."
        )
    return (num_tokens - 1) // context
