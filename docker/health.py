"""Exit code 0 when a service answers as its users need it: MLflow and optuna-dashboard by a call of their API.

Usage: health.py mlflow | head | worker | dashboard

MLflow's own /health stays 200 while every call is refused (a Host name that is not allowed, a database that is gone),
so what is asked is a search for experiments, under the name that the other services use, with their credentials.
"""

from __future__ import annotations

import base64
import os
import sys
import urllib.request
from pathlib import Path

SECONDS = 10
ADMIN_PASSWORD = Path("/run/secrets/mlflow-admin-password")


def question(service: str) -> urllib.request.Request:
    """What to ask a service on its own machine."""
    if service == "mlflow":
        url = "http://127.0.0.1:5000/api/2.0/mlflow/experiments/search?max_results=1"
        return urllib.request.Request(url, headers={"Host": "mlflow:5000", **_credentials()})
    urls = {
        "head": "http://127.0.0.1:8265/api/gcs_healthz",
        "worker": "http://127.0.0.1:52365/api/local_raylet_healthz",
        "dashboard": "http://127.0.0.1:8080/api/studies",
    }
    return urllib.request.Request(urls[service])


def _credentials() -> dict[str, str]:
    user, password = os.environ.get("MLFLOW_AUTH_ADMIN_USERNAME"), ADMIN_PASSWORD
    if not user or not password.is_file():
        return {}
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password.read_text().strip()}".encode()).decode()}


if __name__ == "__main__":
    try:
        with urllib.request.urlopen(question(sys.argv[1]), timeout=SECONDS) as answer:
            answer.read()
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
