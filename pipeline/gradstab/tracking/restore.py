"""Restores a lost results folder from MLflow, which holds the segments as artifacts of the study's run.

``python -m gradstab.tracking.restore --folder F`` reads a `StudyQuery` as JSON from standard input and prints a
`RestoredStudy`. It is a process of its own, so that the driver need not import mlflow.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from gradstab.errors import GradstabError, StorageError
from gradstab.record.segments import CorruptSegmentError, read_segment
from gradstab.system.durable import scratch_folder
from gradstab.system.storage_url import SqliteFile, Tracking, parse_tracking
from gradstab.tracking.shipping_files import Cursor, save_cursor, store_digest

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXIT_UNREACHABLE = 4
EXIT_NEWER = 5


@dataclass(frozen=True)
class StudyQuery:
    """Which study to look for.

    Attributes:
        tracking: the MLflow store to search.
        study: the study's name.
        experiment: the name of its experiment.
        fingerprints: of the parts that may not change in a study, under every version in which it may have begun. A
            study with another fingerprint only has the same name.
    """

    tracking: Tracking
    study: str
    experiment: str
    fingerprints: dict[str, str]

    def dump(self) -> str:
        """The query as JSON; the password of the store stands in it."""
        return json.dumps(
            {
                "uri": self.tracking.url,
                "study": self.study,
                "experiment": self.experiment,
                "fingerprints": self.fingerprints,
            }
        )

    @classmethod
    def load(cls, text: str) -> StudyQuery:
        """The query of a `dump`."""
        fields = json.loads(text)
        return cls(parse_tracking(fields["uri"]), fields["study"], fields["experiment"], fields["fingerprints"])


@dataclass(frozen=True)
class RestoredStudy:
    """What was found.

    Attributes:
        study_id: the study's id.
        began_in: the version in which the study began.
        segments: how many were restored.
        damaged: how many more were damaged and were left out.
    """

    study_id: str
    began_in: str
    segments: int
    damaged: int


def may_be_there(wanted: StudyQuery) -> bool:
    """Whether it is worth starting MLflow: a SQLite database is searched here at once, others only MLflow can ask."""
    if not isinstance(wanted.tracking, SqliteFile):
        return True
    path = wanted.tracking.path
    if not path.exists():
        return False
    name = wanted.experiment
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
    """Download the segments of the study's latest run into the folder. None if MLflow does not know the study.

    The cursor is set, so that the segments are not shipped again. A repetition after a kill does no harm.

    Raises:
        StorageError: a newer version of gradstab wrote a segment in a form that this one cannot read.
    """
    from gradstab.tracking.mlflow_client import open_client

    client = open_client(wanted.tracking)
    found = _latest_run(client, wanted)
    if found is None:
        return None
    run_id, tags = found.info.run_id, found.data.tags
    versions = {fingerprint: version for version, fingerprint in reversed(wanted.fingerprints.items())}
    names: set[str] = set()
    damaged = 0
    with scratch_folder(folder) as scratch:
        for artifact in client.list_artifacts(run_id, "segments"):
            path = Path(client.download_artifacts(run_id, artifact.path, str(scratch)))
            try:
                read_segment(path)
            except CorruptSegmentError:
                damaged += 1
                continue
            path.rename(folder / path.name)
            names.add(path.name)
    save_cursor(folder, Cursor(store=store_digest(wanted.tracking.url), parent_run_id=run_id, shipped=frozenset(names)))
    return RestoredStudy(tags["study_id"], versions[tags["fingerprint"]], len(names), damaged)


def _latest_run(client: MlflowClient, wanted: StudyQuery) -> Run | None:
    """The latest run of the study itself, whatever version it began in."""
    ids = list(_experiments(client, wanted.experiment))
    found: list[Run] = []
    for fingerprint in set(wanted.fingerprints.values()) if ids else ():
        which = f"tags.kind = 'study' AND tags.study = '{wanted.study}' AND tags.fingerprint = '{fingerprint}'"
        found += client.search_runs(ids, which, order_by=["attributes.start_time DESC"], max_results=1)
    return max(found, key=lambda run: run.info.start_time, default=None)


def _experiments(client: MlflowClient, name: str) -> Iterator[str]:
    """Ids of the experiments with this name, or with that name and a study id behind it."""
    from gradstab.tracking.mlflow_client import all_pages

    which = f"name LIKE '{name}%'"
    for found in all_pages(lambda token: client.search_experiments(filter_string=which, page_token=token)):
        if found.name == name or found.name.startswith(f"{name}-"):
            yield str(found.experiment_id)


def main() -> int:
    """Run the process. Exit code 4: MLflow cannot be reached, or the folder cannot be written."""
    parser = argparse.ArgumentParser(description="restores a results folder from MLflow")
    parser.add_argument("--folder", type=Path, required=True)
    folder = parser.parse_args().folder
    wanted = StudyQuery.load(sys.stdin.read())
    from gradstab.tracking.mlflow_client import UNREACHABLE, prepare_environment
    from gradstab.tracking.retry import short_reason
    from gradstab.tracking.sqlite_trouble import require_readable

    prepare_environment()
    try:
        require_readable(wanted.tracking)
    except StorageError as error:
        print(error, file=sys.stderr)
        return EXIT_UNREACHABLE
    try:
        found = rebuild(folder, wanted)
    except StorageError as error:
        print(error, file=sys.stderr)
        return EXIT_NEWER
    except (*UNREACHABLE, GradstabError) as error:
        print(f"{wanted.tracking}: {short_reason(error, wanted.tracking)}", file=sys.stderr)
        return EXIT_UNREACHABLE
    print(json.dumps(found and asdict(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
