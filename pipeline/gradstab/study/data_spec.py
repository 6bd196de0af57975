"""Which data a study trains on, and how large it is, known without loading it."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import IO, Annotated, Literal

import numpy as np
from numpy.lib import format as npy_format
from pydantic import BaseModel, ConfigDict, Field

from gradstab.errors import UsageError
from gradstab.study.pack_key import DataShape

_CONFIG = ConfigDict(frozen=True, extra="forbid")


class DataError(UsageError):
    """Data that cannot be read or trained on."""


class Digits(BaseModel):
    """scikit-learn's handwritten digits: 1797 images of 8 x 8, ten classes; ships with the library."""

    model_config = _CONFIG

    type: Literal["digits"] = "digits"

    def shape(self) -> DataShape:
        return DataShape(num_rows=1797, num_features=64, num_classes=10)


class Teacher(BaseModel):
    """Gaussian rows labelled by the largest output of a random linear map, both drawn from the study's seed."""

    model_config = _CONFIG

    type: Literal["teacher"] = "teacher"
    num_rows: Annotated[int, Field(ge=64, le=10_000_000, description="rows")] = 4096
    num_features: Annotated[int, Field(ge=1, le=65_536, description="numbers per row")] = 64
    num_classes: Annotated[int, Field(ge=2, le=10_000, description="classes")] = 10

    def shape(self) -> DataShape:
        return DataShape(num_rows=self.num_rows, num_features=self.num_features, num_classes=self.num_classes)


class Npz(BaseModel):
    """The user's own data: X (rows first; further axes are flattened) and y (one label per row) in an npz file, as
    `numpy.savez(path, X=X, y=y)` writes it.
    """

    model_config = _CONFIG

    type: Literal["npz"] = "npz"
    path: Annotated[Path, Field(description="the npz file")]
    sha256: Annotated[
        str | None, Field(pattern="^[0-9a-f]{64}$", description="of the npz file; filled in when the study begins")
    ] = None
    known_shape: Annotated[
        tuple[int, int, int] | None,
        Field(description="rows, features, classes; filled in when the study begins: results outlive their data"),
    ] = None

    def with_data_hash(self) -> Npz:
        """A copy with the file's hash and size, so that the content identifies the data, wherever the file lies.

        Raises:
            DataError: the file cannot be read, or it has another hash than the one that was given.
        """
        try:
            with self.path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"data must be in a file that can be read, got {self.path}: {error.strerror}.") from error
        if self.sha256 not in (None, found):
            raise DataError(f"{self.path} must be the file with SHA-256 {self.sha256}, got one with {found}.")
        shape = self.shape()
        known = (shape.num_rows, shape.num_features, shape.num_classes)
        return self.model_copy(update={"sha256": found, "known_shape": known})

    def shape(self) -> DataShape:
        """The size, from the file's headers and the labels, without reading X; the recorded size if the file is gone.

        Raises:
            DataError: there is no such file, it holds no X and y, or their shapes do not fit each other.
        """
        if self.known_shape is not None and not self.path.exists():
            rows, features, classes = self.known_shape
            return DataShape(num_rows=rows, num_features=features, num_classes=classes)
        try:
            with zipfile.ZipFile(self.path) as archive:
                x_shape = _member_shape(archive, "X")
                with archive.open("y.npy") as file:
                    y_N = npy_format.read_array(file, allow_pickle=False)
        except OSError as error:
            raise DataError(f"data must be in a file that can be read, got {self.path}: {error.strerror}.") from error
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


class Mnist(BaseModel):
    """The 70,000 handwritten digits of 28 x 28, fetched once from OpenML through scikit-learn and kept in its cache."""

    model_config = _CONFIG

    type: Literal["mnist"] = "mnist"

    def shape(self) -> DataShape:
        return DataShape(num_rows=70_000, num_features=784, num_classes=10)


AnyData = Digits | Teacher | Npz | Mnist
DataSpec = Annotated[AnyData, Field(discriminator="type")]


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
        return _header_shape(file)


def _header_shape(file: IO[bytes]) -> tuple[int, ...]:
    version = npy_format.read_magic(file)
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("X holds Python objects")
    return shape
