"""Links into the MLflow UI, and the command that serves it for a store. Imports no mlflow."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gradstab.system.storage_url import MlflowServer, Tracking
from gradstab.tracking.shipping_files import load_state

# without it the UI opens its view for language models
VIEW = "workflowType=machine_learning"
MAP_ID = "gradstab-map"  # the saved view that links open


def browser_base(tracking: Tracking) -> str | None:
    """Where a browser finds a tracking server: GRADSTAB_MLFLOW_UI, or its own URI; None if the store is no server."""
    if not isinstance(tracking, MlflowServer):
        return None
    return (os.environ.get("GRADSTAB_MLFLOW_UI") or tracking.url).rstrip("/")


def view_fragment(experiment_id: str, view_id: str) -> str:
    """A saved view, as a link within the UI."""
    return f"#/experiments/{experiment_id}/runs?{VIEW}&compareRunsMode=CHART&viewStateShareKey={view_id}"


def run_fragment(experiment_id: str, run_id: str) -> str:
    """One run, a trial's or the study's own, as a link within the UI."""
    return f"#/experiments/{experiment_id}/runs/{run_id}?{VIEW}"


def view_link(base_url: str, experiment_id: str, view_id: str = MAP_ID) -> str:
    """The study's runs on a saved view, the stability map by default."""
    return f"{base_url.rstrip('/')}/{view_fragment(experiment_id, view_id)}"


def study_link(base_url: str, folder: Path | None) -> str:
    """The stability map of the study in a results folder; all experiments where nothing is shipped yet."""
    experiment_id = load_state(folder).experiment_id if folder is not None else None
    if experiment_id is None:
        return f"{base_url.rstrip('/')}/#/experiments?{VIEW}"
    return view_link(base_url, experiment_id)


def ui_command(artifact_root: Path | None, port: int) -> list[str]:
    """The command that serves the UI on 127.0.0.1; run it in `ui_environment`, which names the database."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return command + ([] if artifact_root is None else ["--default-artifact-root", str(artifact_root)])


def ui_environment(tracking: Tracking) -> dict[str, str]:
    """What the environment of `ui_command` must hold: a URI's password must not show in the list of processes."""
    return {
        "MLFLOW_BACKEND_STORE_URI": tracking.url,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # saves several processes
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
