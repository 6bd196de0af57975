"""Run on the head: which trial numbers of a study segments, Optuna and MLflow hold, as one line of JSON."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import optuna
from mlflow import MlflowClient
from mlflow.entities import Run

from gradstab.record.segments import read_segment, segment_paths

study = sys.argv[1]
folder = Path(os.environ["GRADSTAB_RESULTS"]) / study
url = os.environ["OPTUNA_STORAGE"].replace("postgresql:", "postgresql+psycopg:")
trials = optuna.load_study(study_name=study, storage=url).trials

client = MlflowClient()
experiment = client.get_experiment_by_name(study)
assert experiment is not None, f"MLflow must have the experiment {study}"
experiment_id = experiment.experiment_id


def runs(kind: str) -> list[Run]:
    found: list[Run] = []
    token = None
    while True:
        page = client.search_runs([experiment_id], f"tags.kind = '{kind}'", max_results=1000, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


children, parents = runs("trial"), runs("study")
with tempfile.TemporaryDirectory() as into:
    path = client.download_artifacts(parents[0].info.run_id, "trials.json", into)
    table = json.loads(Path(path).read_text())
print(
    json.dumps(
        {
            "segments": sorted(record.number for path in segment_paths(folder) for record in read_segment(path)),
            "Optuna": sorted(trial.number for trial in trials),
            "Optuna's states": sorted({trial.state.name for trial in trials}),
            "MLflow": sorted(int(run.data.tags["trial"]) for run in children),
            "MLflow's states": sorted({run.info.status for run in children}),
            "table": sorted(row[table["columns"].index("trial")] for row in table["data"]),
            "parents": len(parents),
            "experiment": experiment_id,
            "written": [[dict(run.data.params), dict(run.data.tags)] for run in [*parents, *children]],
        }
    )
)
