"""Which data a study trains on, and how large it is, known without loading it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.lib import format as npy_format
from pydantic import BaseModel, Field

from gradstab.study.array_files import header_shape
from gradstab.study.data_file import FROZEN, DataError, Generated, KnownShape, Sha256, hash_of_file, readable
from gradstab.study.explained import explained
from gradstab.study.pack_key import DataShape
from gradstab.study.shipped_data import Adding, Copying, DigitImages, DigitPixels, DigitRows, TextBytes
from gradstab.study.tensor_spec import FromFunction, Tensors, Tokens

__all__ = [
    "Adding",
    "AnyData",
    "Copying",
    "DataError",
    "DataSpec",
    "DigitImages",
    "DigitPixels",
    "DigitRows",
    "Digits",
    "FromFunction",
    "Mnist",
    "Npz",
    "Teacher",
    "Tensors",
    "TextBytes",
    "Tokens",
    "file_of",
    "require_fitting",
]


@explained
class Digits(Generated, BaseModel):
    """scikit-learn's handwritten digits: 1797 images of 8 x 8, ten classes; ships with the library."""

    model_config = FROZEN
    for_modules: ClassVar[bool] = False

    type: Literal["digits"] = "digits"

    def shape(self) -> DataShape:
        return DataShape(num_rows=1797, num_features=64, num_classes=10)


@explained
class Teacher(Generated, BaseModel):
    """Gaussian rows labelled by the largest output of a random linear map, both drawn from the study's seed."""

    model_config = FROZEN
    for_modules: ClassVar[bool] = False

    type: Literal["teacher"] = "teacher"
    num_rows: Annotated[int, Field(ge=64, le=10_000_000, description="rows")] = 4096
    num_features: Annotated[int, Field(ge=1, le=65_536, description="numbers per row")] = 64
    num_classes: Annotated[int, Field(ge=2, le=10_000, description="classes")] = 10

    def shape(self) -> DataShape:
        return DataShape(num_rows=self.num_rows, num_features=self.num_features, num_classes=self.num_classes)


@explained
class Npz(BaseModel):
    """The user's own data: X (rows first; further axes are flattened) and y (one label per row) in an npz file, as
    `numpy.savez(path, X=X, y=y)` writes it.
    """

    model_config = FROZEN
    for_modules: ClassVar[bool] = False

    type: Literal["npz"] = "npz"
    path: Annotated[Path, Field(description="the npz file")]
    sha256: Sha256 = None
    known_shape: KnownShape = None

    def with_data_hash(self) -> Npz:
        """A copy with the file's hash and size, so that the content identifies the data, wherever the file lies.

        Raises:
            DataError: the file cannot be read, or it has another hash than the one that was given.
        """
        found = hash_of_file(self.path, self.sha256)
        shape = self.shape()
        known = (shape.num_rows, shape.num_features, shape.num_classes)
        return self.model_copy(update={"sha256": found, "known_shape": known})

    def shape(self) -> DataShape:
        """The size, from the file's headers and the labels, without reading X; the recorded size if the file is gone.

        Raises:
            DataError: there is no such file, it holds no X and y, or their shapes do not fit each other.
        """
        if self.known_shape is not None and not self.path.exists():
            return DataShape(*self.known_shape)
        try:
            with readable(self.path), zipfile.ZipFile(self.path) as archive:
                x_shape = _member_shape(archive, "X")
                with archive.open("y.npy") as file:
                    y_N = npy_format.read_array(file, allow_pickle=False)
        except KeyError as error:
            raise DataError(
                f"{self.path} must hold the arrays X and y (numpy.savez(path, X=..., y=...)): {error.args[0]}."
            ) from error
        except (ValueError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{self.path} must be an npz file of plain numeric arrays, but: {error}. Write it with numpy.savez."
            ) from error
        require_fitting(self.path, x_shape, y_N.shape)
        num_features = int(np.prod(x_shape[1:], dtype=np.int64))
        return DataShape(num_rows=x_shape[0], num_features=num_features, num_classes=len(np.unique(y_N)))


@explained
class Mnist(Generated, BaseModel):
    """The 70,000 handwritten digits of 28 x 28, fetched once from OpenML through scikit-learn and kept in its cache."""

    model_config = FROZEN
    for_modules: ClassVar[bool] = False

    type: Literal["mnist"] = "mnist"

    def shape(self) -> DataShape:
        return DataShape(num_rows=70_000, num_features=784, num_classes=10)


AnyData = (
    Digits
    | Teacher
    | Npz
    | Mnist
    | Tensors
    | Tokens
    | FromFunction
    | DigitImages
    | DigitRows
    | DigitPixels
    | Adding
    | Copying
    | TextBytes
)
DataSpec = Annotated[AnyData, Field(discriminator="type")]


def file_of(data: AnyData) -> Path | None:
    """The user's file from which the data are read, if there is one."""
    return data.path if isinstance(data, Npz | Tensors | Tokens | TextBytes) else None


def require_fitting(path: Path, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> None:
    """X and y have the same number of rows, X at least two axes and y one.

    Raises:
        DataError: they do not.
    """
    if len(x_shape) < 2 or y_shape != x_shape[:1]:
        raise DataError(
            f"{path} must hold X of shape (rows, features) and y of shape (rows,), "
            f"got X of shape {x_shape} and y of shape {y_shape}."
        )


def _member_shape(archive: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    """Shape of an array in an npz file, from its header."""
    with archive.open(f"{name}.npy") as file:
        return header_shape(file)
