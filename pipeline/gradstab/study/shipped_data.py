"""Data of studies of modules that ship: digits as images and sequences, two problems of memory, the bytes of a text.

Rows of digits are scaled as those of `Digits` are. Array axes: N rows, T steps.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gradstab.study.data_file import (
    DataError,
    ForModules,
    Generated,
    KnownShape,
    Sha256,
    agreed,
    hash_of_file,
    readable,
)
from gradstab.study.explained import explained
from gradstab.study.pack_key import DataShape
from gradstab.study.tensor_spec import windows

NUM_BYTES = 256  # values of a byte
REMEMBERED = 10  # symbols to be copied, as Hochreiter & Schmidhuber (1997) and Arjovsky et al. (2016) have them

_NumRows = Annotated[int, Field(ge=64, le=10_000_000, description="rows that are made", examples=[1024])]
_Steps = Annotated[int, Field(ge=2, le=1_000_000)]


class _DigitShape(Generated, ForModules):
    def shape(self) -> DataShape:
        return DataShape(num_rows=1797, num_features=64, num_classes=10)


@explained
@dataclass(frozen=True)
class DigitImages(_DigitShape):
    """scikit-learn's handwritten digits as images (N, 1, 8, 8), with labels (N,)."""

    type: Literal["digit_images"] = "digit_images"


@explained
@dataclass(frozen=True)
class DigitRows(_DigitShape):
    """scikit-learn's handwritten digits read row by row, (N, 8, 8): 8 steps of 8 numbers, with labels (N,)."""

    type: Literal["digit_rows"] = "digit_rows"


@explained
@dataclass(frozen=True)
class DigitPixels(_DigitShape):
    """scikit-learn's handwritten digits read pixel by pixel, (N, 64, 1): 64 steps of one number, with labels (N,)."""

    type: Literal["digit_pixels"] = "digit_pixels"


@explained
@dataclass(frozen=True)
class Adding(Generated, ForModules):
    """The adding problem of Hochreiter & Schmidhuber (1997), drawn from the study's seed, in its usual later form.

    Each step of an input (N, T, 2) has a number from [0, 1) and a mark. Two steps are marked by 1, one in each half of
    the sequence, and the others by 0. The target (N, 1) is the sum of the two marked numbers (Le, Jaitly & Hinton 2015,
    arXiv:1504.00941; Arjovsky et al. 2016). The best constant prediction, 1, has the mean squared error 1/6.
    """

    length: Annotated[_Steps, Field(description="steps of a sequence")] = 50
    num_rows: _NumRows = 4096
    type: Literal["adding"] = "adding"

    def shape(self) -> DataShape:
        return DataShape(self.num_rows, num_features=2 * self.length, num_classes=1)


@explained
@dataclass(frozen=True)
class Copying(Generated, ForModules):
    """The copying problem (Hochreiter & Schmidhuber 1997; Arjovsky et al. 2016), drawn from the study's seed.

    An input (N, T) begins with ten symbols 1..num_symbols. Then come `length` steps of blanks 0, the last of which is
    the signal num_symbols + 1 instead, and ten more blanks. The target (N, T) is blank except for the last ten steps,
    where it is the ten symbols. So T = length + 20. What remembers nothing has a cross-entropy of
    10 log(num_symbols) / T a step.
    """

    length: Annotated[_Steps, Field(description="steps between the symbols and their recall")] = 30
    num_symbols: Annotated[int, Field(ge=2, le=10_000, description="different symbols")] = 8
    num_rows: _NumRows = 4096
    type: Literal["copying"] = "copying"

    def shape(self) -> DataShape:
        return DataShape(self.num_rows, self.length + 2 * REMEMBERED, num_classes=self.num_symbols + 1)


@explained
@dataclass(frozen=True)
class TextBytes(ForModules):
    """Bytes of a text: rows (N, T) of `context` bytes, taken evenly from the whole text, and the next bytes as targets.

    Without a path the text is that of Python's own manual, as `pydoc_data.topics` has it: half a megabyte of English.
    It differs between versions of Python, so its hash is on record.
    """

    path: Annotated[Path | None, Field(description="a text file; Python's own manual if left out")] = None
    context: Annotated[int, Field(ge=1, le=1_000_000, description="bytes in a row")] = 64
    num_rows: _NumRows = 4096
    sha256: Sha256 = None
    known_shape: KnownShape = None
    type: Literal["text_bytes"] = "text_bytes"

    def with_data_hash(self) -> TextBytes:
        """A copy with the text's hash and size.

        Raises:
            DataError: the text cannot be read, or it has another hash than the one that was given.
        """
        if self.path is None:
            found = hashlib.sha256(manual_of_python()).hexdigest()
            agreed(found, self.sha256, "the manual of this version of Python must be the text")
        else:
            found = hash_of_file(self.path, self.sha256)
        self.stride()
        return dataclasses.replace(self, sha256=found, known_shape=dataclasses.astuple(self.shape()))

    def shape(self) -> DataShape:
        """The size, which the declaration says by itself; a text that is on record need not be there any more.

        Raises:
            DataError: the text is not on record and cannot be read, or it is too short for that many rows.
        """
        if self.known_shape is None:
            self.stride()
        return DataShape(self.num_rows, self.context, NUM_BYTES)

    def stride(self) -> int:
        """Bytes from the beginning of one row to that of the next.

        Raises:
            DataError: the text cannot be read, or it is too short for that many rows.
        """
        if self.path is None:
            source, length = "the manual of Python", len(manual_of_python())
        else:
            with readable(self.path):
                source, length = str(self.path), self.path.stat().st_size
        most = windows(source, length, self.context)
        if self.num_rows > most:
            raise DataError(
                f"num_rows must be at most {most}, as many rows of {self.context} bytes as {source} holds, "
                f"got {self.num_rows}: lower num_rows or context."
            )
        return (length - 1) // self.num_rows

    def text(self) -> bytes:
        """The text.

        Raises:
            DataError: it cannot be read.
        """
        if self.path is None:
            return manual_of_python()
        with readable(self.path):
            return self.path.read_bytes()


def manual_of_python() -> bytes:
    """The topics of Python's manual, in the order of their names.

    Raises:
        DataError: this Python comes without its manual.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise DataError("text_bytes must be given a path, since this Python comes without its manual.") from None
    return "\n".join(topics[name] for name in sorted(topics)).encode()
