"""Reading a study back from MLflow alone: its declaration and segments, and where a trial's page is."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from gradstab.errors import GradstabError, UsageError
from gradstab.study.versions import FIRST_VERSION
from gradstab.system.durable import replace_file, scratch_folder
from gradstab.system.storage_url import Tracking, parse_tracking
from gradstab.tracking.credentials import check_credentials
from gradstab.tracking.mlflow_client import UNREACHABLE, all_pages, open_client, prepare_environment
from gradstab.tracking.retry import short_reason
from gradstab.tracking.sqlite_trouble import require_readable

_LINK = re.compile(r"(?P<base>https?://[^#]+?)/*#/experiments/(?P<experiment>\d+)")
_BESIDE = ("certificate.json",)
_PAGE = 1000


def run_with_heat_maps(tracking: Tracking, study_id: str, number: int, end: float) -> tuple[str, str] | None:
    """Experiment and run of a trial, once its heat maps are there; None if they are not by `end` (monotonic)."""
    client = _client(tracking)
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
    tracking = parse_tracking(base)
    try:
        client = _client(tracking)
        parent = _parent(client, tracking, study, experiment)
        return _rebuild(client, parent, cache)
    except UNREACHABLE as error:
        raise GradstabError(
            f"cannot read results from MLflow at {tracking}: {short_reason(error, tracking)}"
        ) from error


def _parent(client: MlflowClient, tracking: Tracking, study: str | None, experiment: str | None) -> Run:
    """The study's own run."""
    if experiment is None:
        found = all_pages(lambda token: client.search_experiments(max_results=_PAGE, page_token=token))
        experiments = [str(each.experiment_id) for each in found]
    else:
        experiments = [experiment]
    which = "tags.kind = 'study'" + ("" if study is None else f" AND tags.study = '{study}'")
    newest_first = ["attributes.start_time DESC"]
    runs = list(
        all_pages(
            lambda token: client.search_runs(
                experiments, which, max_results=_PAGE, order_by=newest_first, page_token=token
            )
        )
    )
    names = sorted({run.data.tags["study"] for run in runs})
    if not runs:
        wanted = "a study" if study is None else f"the study {study!r}"
        raise UsageError(f"MLflow at {tracking} must hold {wanted}, but has none")
    if len(names) > 1:
        raise UsageError(f"one study must be meant, but MLflow at {tracking} holds {', '.join(names)}")
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
    declaration = {
        "schema_version": 1,
        "study_id": tags["study_id"],
        "began_in": tags.get("began_in", FIRST_VERSION),
        "study": resolved,
    }
    replace_file(folder / "study.json", json.dumps(declaration, indent=2), durable=False)
    return folder


def _fetch(client: MlflowClient, run_id: str, path: str, folder: Path) -> None:
    """One artifact into a folder, under its own name, whole or not at all."""
    with scratch_folder(folder) as scratch:
        found = Path(client.download_artifacts(run_id, path, str(scratch)))
        found.replace(folder / found.name)


def _client(tracking: Tracking) -> MlflowClient:
    prepare_environment()
    check_credentials(tracking)
    require_readable(tracking)
    return open_client(tracking)
