"""The shipper's two small files in a results folder: the cursor (what MLflow holds) and the state (how it goes).

Both sides read them: the shipper, and the driver's end of it, which must not import mlflow.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from gradstab.record.segments import segment_numbers, segment_paths
from gradstab.system.durable import replace_file

CURSOR_NAME = "cursor.json"
STATE_NAME = "shipper.json"
LOCK_NAME = "shipper.lock"
LOG_NAME = "shipper.log"


class Cursor(BaseModel):
    """Which segments are in MLflow, by name, so that a segment set aside or added out of order does no harm.

    Args:
        store: digest of the tracking URI; another store knows nothing of what was shipped to this one.
        parent_run_id: the study's run in that store; a parent that was deleted takes the cursor with it.
        shipped: names of the segments whose trials are all complete there.
    """

    model_config = ConfigDict(frozen=True)

    store: str
    parent_run_id: str = ""
    shipped: frozenset[str] = frozenset()


def store_digest(uri: str) -> str:
    """A name for a tracking URI that tells nothing of the password in it."""
    return hashlib.sha256(uri.encode()).hexdigest()[:16]


def load_cursor(folder: Path, uri: str) -> Cursor:
    """The cursor for a store: empty if there is none, if it is unreadable, or if it was made for another store."""
    empty = Cursor(store=store_digest(uri))
    try:
        cursor = Cursor.model_validate_json((folder / CURSOR_NAME).read_bytes())
    except (FileNotFoundError, ValidationError):
        return empty
    return cursor if cursor.store == empty.store else empty


def is_shipped_elsewhere(folder: Path, uri: str) -> bool:
    """Whether the study in a results folder was shipped, and to another store than this."""
    return load_state(folder).experiment_id is not None and not load_cursor(folder, uri).parent_run_id


def save_cursor(folder: Path, cursor: Cursor) -> None:
    """Put the cursor on disk, whole or not at all, before returning."""
    content = {"store": cursor.store, "parent_run_id": cursor.parent_run_id, "shipped": sorted(cursor.shipped)}
    replace_file(folder / CURSOR_NAME, json.dumps(content, indent=0), durable=True)


class ShipperState(BaseModel):
    """How the shipper does, for the driver's progress line and for links.

    Args:
        shipped: trials that MLflow holds.
        last_error: one sentence while something is in the way, else None.
        updated_ms: when the shipper last got something done or tried to.
    """

    model_config = ConfigDict(frozen=True)

    shipped: int = 0
    last_error: str | None = None
    experiment_name: str | None = None
    experiment_id: str | None = None
    parent_run_id: str | None = None
    updated_ms: int = 0


def load_state(folder: Path) -> ShipperState:
    """The state the shipper last wrote; an empty one before its first."""
    try:
        return ShipperState.model_validate_json((folder / STATE_NAME).read_bytes())
    except (FileNotFoundError, ValidationError):
        return ShipperState()


def save_state(folder: Path, state: ShipperState) -> None:
    """Show the state to readers of the folder."""
    stamped = state.model_copy(update={"updated_ms": time.time_ns() // 1_000_000})
    replace_file(folder / STATE_NAME, stamped.model_dump_json(indent=1), durable=False)


class WaitingCounter:
    """Counts recorded trials that are not in MLflow, reading each segment's head once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._num_trials: dict[str, int] = {}

    def waiting(self, uri: str) -> int:
        """Trials in segments that the cursor for this store does not name."""
        shipped = load_cursor(self._folder, uri).shipped
        return sum(self._size(path) for path in segment_paths(self._folder) if path.name not in shipped)

    def _size(self, path: Path) -> int:
        if path.name not in self._num_trials:
            self._num_trials[path.name] = len(segment_numbers(path))
        return self._num_trials[path.name]
