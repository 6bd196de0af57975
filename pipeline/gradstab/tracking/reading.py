"""Reading a study back from MLflow alone: its declaration and segments, and where a trial's page is."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from pathlib import Path

import requests
import sqlalchemy.exc
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from gradstab.errors import GradstabError, UsageError
from gradstab.system.durable import replace_file
from gradstab.system.storage_url import without_password
from gradstab.tracking.credentials import check_credentials
from gradstab.tracking.mlflow_store import prepare_environment

_UNREACHABLE = (MlflowException, requests.RequestException, sqlalchemy.exc.SQLAlchemyError, OSError)
_LINK = re.compile(r"(?P<base>https?://[^#]+?)/*#/experiments/(?P<experiment>\d+)")
_BESIDE = ("certificate.json",)


def run_with_heat_maps(uri: str, study_id: str, number: int, end: float) -> tuple[str, str] | None:
    """Experiment and run of a trial once its heat maps are there; None if they are not by `end` (monotonic)."""
    client = _client(uri)
    while True:
        found = client.search_experiments(filter_string=f"tags.study_id = '{study_id}'")
        runs = client.search_runs(
            [str(experiment.experiment_id) for experiment in found],
            f"tags.kind = 'trial' AND tags.trial = '{number}' AND tags.heat_maps = 'true'",
        )
        if runs:
            return str(runs[0].info.experiment_id), str(runs[0].info.run_id)
        if time.monotonic() > end:
            return None
        time.sleep(0.5)


def split_link(given: str) -> tuple[str, str | None]:
    """Tracking URI and experiment of a link copied from the browser; a plain URI has no experiment."""
    match = _LINK.match(given)
    return (match["base"], match["experiment"]) if match else (given, None)


def download_study(uri: str, study: str | None, cache: Path) -> Path:
    """Rebuild a study's results folder in a cache from what MLflow holds; what is there already is not fetched again.

    Args:
        uri: tracking URI, or a link to the study as copied from the browser.
        study: its name; None where the link says it, or the store holds one study only.
        cache: folder for the rebuilt ones.

    Raises:
        UsageError: there is no such study, or several and none is named.
        GradstabError: MLflow cannot be reached, or holds no segments.
    """
    base, experiment = split_link(uri)
    try:
        client = _client(base)
        parent = _parent(client, base, study, experiment)
        return _rebuild(client, parent, cache)
    except _UNREACHABLE as error:
        reason = str(error).partition("\n")[0]
        raise GradstabError(
            f"results must be readable from MLflow at {without_password(base)}, but: {reason}"
        ) from error


def _parent(client: MlflowClient, base: str, study: str | None, experiment: str | None) -> Run:
    """The study's own run."""
    if experiment is None:
        experiments = [str(found.experiment_id) for found in client.search_experiments(max_results=1000)]
    else:
        experiments = [experiment]
    which = "tags.kind = 'study'" + ("" if study is None else f" AND tags.study = '{study}'")
    runs = client.search_runs(experiments, which, max_results=1000, order_by=["attributes.start_time DESC"])
    names = sorted({run.data.tags["study"] for run in runs})
    if not runs:
        wanted = "a study" if study is None else f"the study {study!r}"
        raise UsageError(f"MLflow at {without_password(base)} must hold {wanted}, but has none")
    if len(names) > 1:
        raise UsageError(f"one study must be meant, but MLflow at {without_password(base)} holds {', '.join(names)}")
    return runs[0]


def _rebuild(client: MlflowClient, parent: Run, cache: Path) -> Path:
    run_id, tags = parent.info.run_id, parent.data.tags
    folder = cache / f"{tags['study']}-{tags['study_id'][:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    segments = [artifact.path for artifact in client.list_artifacts(run_id, "segments")]
    if not segments:
        raise GradstabError(f"MLflow must hold segments of {tags['study']!r}, but has none yet: wait, or gradstab sync")
    for path in segments:
        if not (folder / Path(path).name).exists():
            _fetch(client, run_id, path, folder)
    held = {artifact.path for artifact in client.list_artifacts(run_id)}
    for name in held.intersection(_BESIDE):
        _fetch(client, run_id, name, folder)
    resolved = json.loads(Path(client.download_artifacts(run_id, "resolved.json")).read_text(encoding="utf-8"))
    declaration = {"schema_version": 1, "study_id": tags["study_id"], "study": resolved}
    replace_file(folder / "study.json", json.dumps(declaration, indent=2), durable=False)
    return folder


def _fetch(client: MlflowClient, run_id: str, path: str, folder: Path) -> None:
    """One artifact into a folder, under its own name, whole or not at all."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as partial:
        found = Path(client.download_artifacts(run_id, path, partial))
        shutil.move(found, folder / found.name)


def _client(uri: str) -> MlflowClient:
    prepare_environment()
    check_credentials(uri)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)
