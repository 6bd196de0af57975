"""Segments: the durable record of results, one synced file for each pack, checked when it is read.

A segment is a plain ``.npz`` (readable by ``numpy.load``). Its file name carries the first 16 hex digits of the SHA-256
of its bytes, so a truncated or altered file is noticed. It gets that name by a rename, so it appears whole or not at
all. The arrays of the pack's trials are stored flat, one array for each statistic, beside a JSON head.

Versions may add statistics and fields of a record. A segment says which statistics it holds and what their axes are,
so that an older version reads the rest and keeps what it does not know, and a newer one reads as NaN what is not there.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradstab.errors import GradstabError, StorageError
from gradstab.record.failure import Failure
from gradstab.record.statistics.registry import STATISTICS
from gradstab.record.trajectory import FloatArray, Trajectory
from gradstab.study.axes import Value
from gradstab.system.durable import sync_folder

SCHEMA_VERSION = 1
_NAME = re.compile(r"segment-(\d{6})-([0-9a-f]{16})\.npz")


class CorruptSegmentError(GradstabError):
    """A segment does not hold the bytes that were written."""


@dataclass(frozen=True)
class Record:
    """One finished trial as it is kept: what was run, where and when, and its trajectory or the reason it failed.

    `code` is the hash of the user's code that built and judged a module. `others` holds what a later version recorded
    of the trial beside that; it is kept when the record is written again.
    """

    number: int
    seed: int
    point: dict[str, Value]
    recipe: dict[str, Value | None]
    device: str
    started_ms: int
    finished_ms: int
    attempts: int
    trajectory: Trajectory | None = None
    failure: Failure | None = None
    retry_of: int | None = None
    code: str | None = None
    others: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.trajectory is None) == (self.failure is None):
            raise ValueError(f"the record of trial {self.number} must hold a trajectory or a failure, and not both")


def segment_paths(folder: Path) -> list[Path]:
    """The segments of a folder, in the order in which they were written."""
    return sorted(path for path in folder.glob("segment-*.npz") if _NAME.fullmatch(path.name))


def segment_index(path: Path) -> int:
    """The position of a segment in its study.

    Raises:
        CorruptSegmentError: the file name is not that of a segment.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise CorruptSegmentError(f"a segment must be named segment-NNNNNN-<16 hex digits>.npz, got {path.name!r}")
    return int(match.group(1))


def write_segment(folder: Path, index: int, records: Sequence[Record]) -> Path:
    """Write the records of a pack so that they survive a crash of the machine, and return the segment's path.

    Raises:
        StorageError: the disk is full or cannot be written. No half-written file is left under a segment's name.
    """
    content = _encode(records)
    digest = hashlib.sha256(content).hexdigest()[:16]
    path = folder / f"segment-{index:06d}-{digest}.npz"
    partial = folder / f".segment-{index:06d}.partial"
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        sync_folder(folder)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StorageError(
            f"results cannot be written to {folder}: {error.strerror}. "
            "The results recorded so far are safe: free some space and run the study again."
        ) from error
    return path


def read_segment(path: Path) -> list[Record]:
    """The records of a segment.

    Raises:
        CorruptSegmentError: the checksum or the structure is wrong.
        StorageError: a newer version of gradstab wrote the segment in a form that this one cannot read.
    """
    match = _NAME.fullmatch(path.name)
    content = path.read_bytes()
    if match is None or hashlib.sha256(content).hexdigest()[:16] != match.group(2):
        raise CorruptSegmentError(f"{path} does not have the checksum in its name: it was truncated or altered")
    try:
        return _decode(content)
    except _NewerSchemaError as error:
        raise StorageError(
            f"{path} must have schema version {SCHEMA_VERSION}, got version {error.schema_version}: "
            "a newer version of gradstab wrote it; update gradstab to read it"
        ) from None
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise CorruptSegmentError(f"{path} must hold a segment of schema version {SCHEMA_VERSION}: {error}") from error


def segment_numbers(path: Path) -> list[int]:
    """The numbers of the trials in a segment, from its head alone; none if it cannot be read and is set aside later."""
    try:
        # the file is opened here, because numpy does not close a file that it cannot read
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return [entry["number"] for entry in json.loads(file["head"].tobytes())["records"]]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return []


def _encode(records: Sequence[Record]) -> bytes:
    trajectories = [record.trajectory for record in records if record.trajectory is not None]
    axes = {name: t.axes_of(name) for t in trajectories for name in t.series}
    head = {
        "schema_version": SCHEMA_VERSION,
        "statistics": axes,
        "records": [_head(record, axes) for record in records],
    }
    arrays: dict[str, NDArray[Any]] = {"head": np.frombuffer(json.dumps(head).encode(), dtype=np.uint8)}
    if trajectories:
        arrays["probe_step"] = np.concatenate([t.probe_step_P for t in trajectories])
        for name in axes:
            flat = np.concatenate([t.series[name].ravel() for t in trajectories if name in t])
            arrays[name] = flat.astype(STATISTICS[name].dtype) if name in STATISTICS else flat
    buffer = io.BytesIO()
    # numpy's type stubs also match **arrays with the keyword allow_pickle
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _head(record: Record, statistics: Iterable[str]) -> dict[str, Any]:
    head: dict[str, Any] = {
        **record.others,
        "number": record.number,
        "seed": record.seed,
        "point": record.point,
        "recipe": record.recipe,
        "device": record.device,
        "started_ms": record.started_ms,
        "finished_ms": record.finished_ms,
        "attempts": record.attempts,
        "failure": None if record.failure is None else str(record.failure),
    }
    if record.retry_of is not None:
        head["retry_of"] = record.retry_of
    if record.code is not None:
        head["code"] = record.code
    if record.trajectory is not None:
        head["trajectory"] = {
            "depth": record.trajectory.depth,
            "steps": record.trajectory.steps,
            "num_probes": len(record.trajectory.probe_step_P),
            "reference_loss": record.trajectory.reference_loss,
            "nonfinite_step": record.trajectory.nonfinite_step,
        }
        if record.trajectory.taps:
            head["trajectory"]["taps"] = list(record.trajectory.taps)
        if record.trajectory.target_loss is not None:
            head["trajectory"]["target_loss"] = record.trajectory.target_loss
        missing = [name for name in statistics if name not in record.trajectory]
        if missing:  # other trials of the pack have it
            head["trajectory"]["missing"] = missing
    return head


def _decode(content: bytes) -> list[Record]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    head = json.loads(arrays.pop("head").tobytes())
    if head["schema_version"] > SCHEMA_VERSION:
        raise _NewerSchemaError(head["schema_version"])
    if head["schema_version"] != SCHEMA_VERSION:
        raise ValueError(f"it has schema version {head['schema_version']}")
    # version 0.1.0 did not write the axes, but every version knows the statistics of that time
    axes: dict[str, str] = head.get("statistics") or {n: STATISTICS[n].axes for n in arrays if n in STATISTICS}
    reader = _Reader(arrays, axes)
    known = {one.name for one in fields(Record)} - {"trajectory", "others"}
    records = []
    for entry in head["records"]:
        shape = entry.pop("trajectory", None)
        reason = entry.pop("failure")
        failure = None if reason is None else Failure.parse(reason)
        others = {name: entry.pop(name) for name in list(entry) if name not in known}
        trajectory = None if shape is None else reader.next(shape)
        records.append(Record(**entry, failure=failure, others=others, trajectory=trajectory))
    return records


class _NewerSchemaError(Exception):
    """A segment of a schema version that came after this program."""

    def __init__(self, schema_version: int) -> None:
        super().__init__()
        self.schema_version = schema_version


class _Reader:
    """Cuts the flat arrays of a segment into trajectories, one after the other."""

    def __init__(self, arrays: dict[str, NDArray[Any]], axes: dict[str, str]) -> None:
        self._arrays = arrays
        self._axes = axes
        self._offset = dict.fromkeys(arrays, 0)

    def next(self, shape: dict[str, Any]) -> Trajectory:
        lengths = {"S": shape["steps"], "P": shape["num_probes"], "L": shape["depth"]}
        held = {name: axes for name, axes in self._axes.items() if name not in shape.get("missing", ())}
        return Trajectory(
            depth=shape["depth"],
            steps=shape["steps"],
            reference_loss=shape["reference_loss"],
            probe_step_P=self._take("probe_step", [lengths["P"]]).astype(np.int64),
            series={name: self._take(name, [lengths[axis] for axis in axes]) for name, axes in held.items()},
            nonfinite_step=shape["nonfinite_step"],
            taps=tuple(shape.get("taps", ())),
            target_loss=shape.get("target_loss"),
            other_axes={name: axes for name, axes in held.items() if name not in STATISTICS},
        )

    def _take(self, name: str, shape: Sequence[int]) -> FloatArray:
        start = self._offset[name]
        self._offset[name] = start + math.prod(shape)
        return np.asarray(self._arrays[name][start : self._offset[name]].reshape(shape))
