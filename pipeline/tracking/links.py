"""Links into the MLflow UI, and the command that serves it for a store. Imports no mlflow."""

from __future__ import annotations

import sys

# without it the UI opens its view for language models
_VIEW = "workflowType=machine_learning"


def experiment_link(base_url: str, experiment_id: str) -> str:
    """The list of a study's trials."""
    return f"{base_url.rstrip('/')}/#/experiments/{experiment_id}/runs?{_VIEW}"


def run_link(base_url: str, experiment_id: str, run_id: str) -> str:
    """One run: a trial's, or the study's own."""
    return f"{base_url.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}?{_VIEW}"


def served_by(uri: str) -> str | None:
    """The address of the UI where a server already serves the store; None for a database, which needs `ui_command`."""
    return uri.rstrip("/") if uri.startswith(("http://", "https://")) else None


def ui_command(uri: str, artifact_root: str | None, port: int) -> tuple[list[str], dict[str, str]]:
    """The command that serves a database's UI on 127.0.0.1, and what its environment must hold besides.

    The URI goes into the environment: a password in it must not show in the list of processes.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    if artifact_root is not None:
        command += ["--default-artifact-root", artifact_root]
    environment = {
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # four processes less
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    return command, environment
