"""A results folder and an MLflow store that version 0.1.0 left, put in place anew for a test.

`golden/study-0.1.0` holds 60 trials of a boundary sampler with a `stop`, recorded by commit f867a8b: the results folder
(without report and heat maps), its MLflow database, and the table of trials of its report, as that version judged them.
"""

from __future__ import annotations

import csv
import json
import lzma
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from gradstab.record.segments import segment_paths

GOLDEN = Path(__file__).parent / "golden" / "study-0.1.0"
NAME = "golden-boundary"
PARENT_RUN_ID = "85ba80c235614af180697ddd32a9eaae"
STUDY_ID = "3403b35d1071479faaf5a30ed9e341a9"
FINGERPRINT = "edc5855f3fb75d71d721018417548b914072e98261a028eeeb5ce6910d710411"
NUM_TRIALS = 60
_ROOT = "/tmp/golden/results"


def put_folder(results: Path) -> Path:
    """The results folder, under a results root."""
    folder = results / NAME
    shutil.copytree(GOLDEN / "results", folder)
    (folder / "declared.py.txt").rename(folder / "declared.py")
    return folder


def put_mlflow(results: Path) -> None:
    """The MLflow store, beside a results root's studies, with what the study's own run holds."""
    artifacts = results / "mlflow" / "artifacts" / NAME / PARENT_RUN_ID / "artifacts"
    (artifacts / "segments").mkdir(parents=True)
    for path in segment_paths(GOLDEN / "results"):
        shutil.copy(path, artifacts / "segments")
    order = json.loads((GOLDEN / "results" / "tracking.json").read_text())
    (artifacts / "resolved.json").write_text(json.dumps(order["resolved"]))
    database = results / "mlflow" / "mlflow.db"
    database.write_bytes(lzma.decompress((GOLDEN / "mlflow.db.xz").read_bytes()))
    with closing(sqlite3.connect(database)) as connection:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            connection.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (_ROOT, str(results)))
        connection.commit()


def judged_then() -> dict[int, dict[str, str]]:
    """The table of trials of version 0.1.0's report, by number."""
    with (GOLDEN / "trials.csv").open(newline="") as file:
        return {int(row["number"]): row for row in csv.DictReader(file)}


def verdicts_then() -> Counter[str]:
    """How many trials got each verdict in version 0.1.0."""
    return Counter(row["verdict"] for row in judged_then().values())
