"""Checks before a study starts that the MLflow server accepts our credentials: nobody waits for wrong settings.

``python -m gradstab.tracking.credentials`` reads a tracking URI from standard input and asks with MLflow's own client,
which also knows credential files and plug-ins. It is a process of its own, so that the driver need not import mlflow.
"""

from __future__ import annotations

import base64
import http.client
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping

from gradstab.errors import UsageError
from gradstab.system import child_process
from gradstab.system.storage_url import MlflowServer, Tracking, parse_tracking

REFUSED = (401, 403)
REQUEST_SECONDS = 5.0
EXIT_REFUSED = 3
_NAMES = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


def check_credentials(tracking: Tracking, mlflow_env: Mapping[str, str] | None = None) -> None:
    """Raise an error if an MLflow server refuses our credentials. A server that is away or slow passes, as others do.

    Args:
        tracking: MLflow's store. Only a server has credentials to check.
        mlflow_env: variables to add to the environment.

    Raises:
        UsageError: the server answers 401 or 403.
    """
    if not isinstance(tracking, MlflowServer):
        return
    env = {**os.environ, **(mlflow_env or {})}
    status = _status(tracking.url, env)
    if status not in REFUSED:
        return
    asked = child_process.run("gradstab.tracking.credentials", tracking.url, env=mlflow_env)
    if asked.returncode == EXIT_REFUSED:
        given = "@" in tracking.url or any(env.get(name) for name in _NAMES)
        raise UsageError(_refusal(tracking, status, asked.stdout, given=given))


def _status(uri: str, env: Mapping[str, str]) -> int | None:
    """HTTP status of a cheap request with the credentials of the environment; None if no answer comes in time."""
    user, password, token = (env.get(name, "") for name in _NAMES)
    headers = {}
    if user and password:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {pair}"
    elif token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        # without a user that stands in the URI: the child process shows it, with MLflow's own client
        scheme, place, path, *_ = urllib.parse.urlsplit(uri)
        url = f"{scheme}://{place.rpartition('@')[2]}{path.rstrip('/')}/api/2.0/mlflow/experiments/search?max_results=1"
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except (OSError, http.client.HTTPException, ValueError):
        return None


def _refusal(tracking: MlflowServer, status: int, reason: str, *, given: bool) -> str:
    """One sentence: what is wrong, what came and what to do."""
    if status == 401:
        came = "it refuses the ones set here" if given else "none are set here"
        return f"MLflow at {tracking} asks for a user and password, but {came}: set {_NAMES[0]} and {_NAMES[1]}"
    return (
        f"MLflow at {tracking} refuses this user, or refuses to be called by this host name (403): {reason.strip()}. "
        "Give the user the right, or add the host name to the server's MLFLOW_SERVER_ALLOWED_HOSTS"
    )


def main() -> int:
    """Run the process. Exit code 0: the server accepts us; 3: it refuses, with its reason on standard output."""
    tracking = parse_tracking(sys.stdin.read())
    from mlflow.exceptions import MlflowException

    from gradstab.tracking.mlflow_client import open_client, prepare_environment
    from gradstab.tracking.retry import short_reason

    prepare_environment()
    try:
        open_client(tracking).search_experiments(max_results=1)
    except MlflowException as error:
        print(short_reason(error).rstrip("."))
        return EXIT_REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
