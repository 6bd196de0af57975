"""A results folder that was lost, made again from what MLflow holds: the segments beside the study's own run.

``python -m gradstab.tracking.restore --folder F`` reads what to look for as JSON from standard input and prints what
it found. A process of its own, so that the driver need not import mlflow.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from gradstab.errors import GradstabError
from gradstab.record.segments import CorruptSegmentError, read_segment
from gradstab.system.storage_url import storage_file, without_password
from gradstab.tracking.shipping_files import Cursor, save_cursor, store_digest

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXIT_UNREACHABLE = 4


@dataclass(frozen=True)
class StudyQuery:
    """The study whose folder was lost.

    Attributes:
        uri: MLflow tracking URI.
        fingerprint: of what may not change in a study; a namesake with another one is another study.
    """

    uri: str
    study: str
    fingerprint: str


@dataclass(frozen=True)
class RestoredStudy:
    """What was found: the study's id, how many segments came back and how many of them were damaged."""

    study_id: str
    segments: int
    damaged: int


def may_be_there(wanted: StudyQuery) -> bool:
    """Whether it is worth asking MLflow: a SQLite database is looked into at once, a server must be asked."""
    path = storage_file(wanted.uri)
    if path is None:
        return True
    if not path.exists():
        return False
    name = wanted.study
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
            found = database.execute(
                "SELECT 1 FROM experiments WHERE lifecycle_stage = 'active' AND (name = ? OR substr(name, 1, ?) = ?)",
                [name, len(name) + 1, f"{name}-"],
            ).fetchone()
    except sqlite3.Error:
        return True
    return found is not None


def rebuild(folder: Path, wanted: StudyQuery) -> RestoredStudy | None:
    """Fetch the segments of the study's latest run into the folder; None where MLflow knows no such study.

    The cursor says that MLflow has them. Doing it again, after a kill in the middle, does no harm.
    """
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=wanted.uri, registry_uri=wanted.uri)
    found = _latest_run(client, wanted)
    if found is None:
        return None
    run_id, study_id = found
    names: set[str] = set()
    damaged = 0
    with tempfile.TemporaryDirectory(dir=folder, prefix=".rebuild-") as fetched:
        for artifact in client.list_artifacts(run_id, "segments"):
            path = Path(client.download_artifacts(run_id, artifact.path, fetched))
            try:
                read_segment(path)
            except CorruptSegmentError:
                damaged += 1
                continue
            path.rename(folder / path.name)
            names.add(path.name)
    save_cursor(folder, Cursor(store=store_digest(wanted.uri), parent_run_id=run_id, shipped=frozenset(names)))
    return RestoredStudy(study_id, len(names), damaged)


def _latest_run(client: MlflowClient, wanted: StudyQuery) -> tuple[str, str] | None:
    """Run id and study id of the study's own run."""
    ids = list(_experiments(client, wanted.study))
    if not ids:
        return None
    which = f"tags.kind = 'study' AND tags.study = '{wanted.study}' AND tags.fingerprint = '{wanted.fingerprint}'"
    runs = client.search_runs(ids, which, order_by=["attributes.start_time DESC"], max_results=1)
    return (str(runs[0].info.run_id), str(runs[0].data.tags["study_id"])) if runs else None


def _experiments(client: MlflowClient, name: str) -> Iterator[str]:
    token: str | None = None
    while True:
        page = client.search_experiments(filter_string=f"name LIKE '{name}%'", page_token=token)
        yield from (str(e.experiment_id) for e in page if e.name == name or e.name.startswith(f"{name}-"))
        token = page.token
        if not token:
            return


def main() -> int:
    """The process."""
    parser = argparse.ArgumentParser(description="rebuilds a results folder from MLflow")
    parser.add_argument("--folder", type=Path, required=True)
    folder = parser.parse_args().folder
    wanted = StudyQuery(**json.load(sys.stdin))
    import requests
    import sqlalchemy.exc
    from mlflow.exceptions import MlflowException

    from gradstab.tracking.mlflow_store import prepare_environment
    from gradstab.tracking.retry import sentence

    prepare_environment()
    try:
        found = rebuild(folder, wanted)
    except (
        MlflowException,
        requests.RequestException,
        sqlalchemy.exc.SQLAlchemyError,
        OSError,
        GradstabError,
    ) as error:
        print(f"{without_password(wanted.uri)}: {sentence(error)}", file=sys.stderr)
        return EXIT_UNREACHABLE
    print(json.dumps(found and asdict(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
