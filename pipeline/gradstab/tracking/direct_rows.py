"""Whole runs written into MLflow's SQLite file, each in one transaction, past MLflow's own store.

The store takes three calls, six sessions and thirty statements for a run with its params, tags and metrics, which is 25
ms of CPU; the rows themselves take one. This is done only in a database whose schema has a known revision: for that
one, tests compare all tables with what the store writes. Everywhere else, and for whatever is unusual in a run, the
store is asked as ever.
"""

from __future__ import annotations

import math
import sqlite3
import sys
import uuid
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME
from mlflow.utils.uri import append_to_uri_path
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, MAX_PARAM_VAL_LENGTH, MAX_TAG_VAL_LENGTH

from gradstab.system.failpoints import failpoint
from gradstab.tracking.run_content import RunContent
from gradstab.tracking.trial_metrics import MetricRow
from gradstab.tracking.trial_picture import FILE_NAME

KNOWN_REVISIONS = frozenset({"dc11669786a5"})  # of Alembic: MLflow 3.17
_BUSY_SECONDS = 20.0
_NAME_LENGTH = 250

_Metric = tuple[str, float, int, bool]  # key, value as it is stored, step, whether it is NaN


class DirectRows:
    """Writes the runs of trials into a database.

    Raises:
        MlflowException: from `add`, where the file cannot be written now, as MLflow's store does.
    """

    def __init__(self, database: Path) -> None:
        self._database = database

    @classmethod
    def of(cls, database: Path) -> DirectRows | None:
        """For this database, or None if its schema is not one that is known."""
        try:
            with closing(sqlite3.connect(database, timeout=_BUSY_SECONDS)) as connection:
                revisions = {row[0] for row in connection.execute("SELECT version_num FROM alembic_version")}
        except sqlite3.Error:
            return None
        return cls(database) if revisions and revisions <= KNOWN_REVISIONS else None

    def add(self, experiment_id: str, parent_run_id: str, content: RunContent) -> str | None:
        """Write a run that is complete and has ended, and return its id.

        None if MLflow's own store must decide: the experiment is not active, a text is longer than MLflow takes, or a
        picture belongs elsewhere than into a local folder.
        """
        run_id = uuid.uuid4().hex
        tags = {MLFLOW_PARENT_RUN_ID: parent_run_id, MLFLOW_RUN_NAME: content.name}
        tags |= content.tags_of(experiment_id, run_id)
        if not _is_usual(content, tags):
            return None
        try:
            with closing(sqlite3.connect(self._database, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous=NORMAL")
                connection.execute("PRAGMA foreign_keys=ON")
                connection.execute("BEGIN IMMEDIATE")
                is_in = _insert(connection, experiment_id, run_id, content, tags)
                failpoint("create_run")
                connection.execute("COMMIT" if is_in else "ROLLBACK")
        except sqlite3.Error as error:
            raise MlflowException(str(error), TEMPORARILY_UNAVAILABLE) from error
        failpoint("log_batch")
        return run_id if is_in else None


def _insert(
    connection: sqlite3.Connection, experiment_id: str, run_id: str, content: RunContent, tags: dict[str, str]
) -> bool:
    found = connection.execute(
        "SELECT artifact_location FROM experiments WHERE experiment_id = ? AND lifecycle_stage = 'active'",
        (int(experiment_id),),
    ).fetchone()
    if found is None:
        return False
    artifacts = append_to_uri_path(found[0], run_id, "artifacts")  # type: ignore[no-untyped-call]
    if content.picture is not None and not _wrote_picture(artifacts, content.picture):
        return False
    connection.execute(
        "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,"
        " end_time, source_version, lifecycle_stage, artifact_uri, experiment_id)"
        " VALUES (?, ?, 'UNKNOWN', '', '', 'unknown', ?, ?, ?, '', 'active', ?, ?)",
        (run_id, content.name, content.status, content.started_ms, content.finished_ms, artifacts, int(experiment_id)),
    )
    for table, texts in (("tags", tags), ("params", content.params)):
        connection.executemany(
            f"INSERT INTO {table} (run_uuid, key, value) VALUES (?, ?, ?)",
            [(run_id, key, value) for key, value in texts.items()],
        )
    metrics = _stored(content.metrics)
    latest: dict[str, _Metric] = {}
    for metric in metrics:
        key, value, step, _ = metric
        if key not in latest or (step, value) > (latest[key][2], latest[key][1]):
            latest[key] = metric
    for table, rows in (("metrics", metrics), ("latest_metrics", latest.values())):
        connection.executemany(
            f"INSERT INTO {table} (run_uuid, key, value, timestamp, step, is_nan) VALUES (?, ?, ?, ?, ?, ?)",
            [(run_id, key, value, content.finished_ms, step, is_nan) for key, value, step, is_nan in rows],
        )
    return True


def _wrote_picture(artifacts: str, picture: str) -> bool:
    """Write a picture among the artifacts of a run, if they are files of this machine: before the run is there."""
    parts = urlsplit(artifacts)
    if parts.scheme not in ("", "file") or parts.netloc:
        return False
    folder = Path(url2pathname(parts.path) if parts.scheme else artifacts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE_NAME).write_text(picture, encoding="utf-8")
    except OSError:
        return False  # MLflow says what is wrong
    return True


def _stored(rows: Iterable[MetricRow]) -> list[_Metric]:
    """Metrics as MLflow stores them: each once, infinities as the largest numbers, NaN as 0 with a mark."""
    metrics: dict[_Metric, None] = {}
    for row in rows:
        is_nan = math.isnan(row.value)
        value = 0.0 if is_nan else max(-sys.float_info.max, min(sys.float_info.max, float(row.value)))
        metrics[row.key, value, row.step, is_nan] = None
    return list(metrics)


def _is_usual(content: RunContent, tags: dict[str, str]) -> bool:
    """Whether MLflow would take every text as it is."""
    keys = [*tags, *content.params, *(row.key for row in content.metrics)]
    return (
        bool(content.name)
        and len(content.name) <= _NAME_LENGTH
        and bool(content.started_ms)
        and all(len(key) <= MAX_ENTITY_KEY_LENGTH for key in keys)
        and all(len(value) <= MAX_PARAM_VAL_LENGTH for value in content.params.values())
        and all(len(value) <= MAX_TAG_VAL_LENGTH for value in tags.values())
    )
