"""Whether an MLflow server takes our credentials, asked before a study begins: wrong settings are no outage.

``python -m gradstab.tracking.credentials`` reads a tracking URI from standard input and asks with MLflow's own client,
which also knows credential files and plug-ins. A process of its own, so that the driver need not import mlflow.
"""

from __future__ import annotations

import base64
import http.client
import os
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping

from gradstab.errors import UsageError
from gradstab.system.storage_url import without_password

REFUSED = (401, 403)
KNOCK_SECONDS = 5.0
EXIT_REFUSED = 3
_NAMES = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


def check_credentials(uri: str, mlflow_env: Mapping[str, str] | None = None) -> None:
    """End a command whose MLflow server lets nobody in with our settings; one that is away or slow holds nobody up.

    Args:
        uri: MLflow tracking URI; anything but a server's is let through.
        mlflow_env: variables to add to the environment.

    Raises:
        UsageError: the server answers 401 or 403.
    """
    if not uri.startswith(("http://", "https://")):
        return
    env = {**os.environ, **(mlflow_env or {})}
    status = _ask_server(uri, env)
    if status not in REFUSED:
        return
    asked = subprocess.run(
        # -P: what lies in the working directory must not stand in for an installed package
        [sys.executable, "-P", "-m", "gradstab.tracking.credentials"],
        input=uri,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode == EXIT_REFUSED:
        given = "@" in uri or any(env.get(name) for name in _NAMES)
        raise UsageError(_sentence(uri, status, asked.stdout, given=given))


def _ask_server(uri: str, env: Mapping[str, str]) -> int | None:
    """What a server says to the cheapest question with the commonest credentials; None when it says nothing in time."""
    user, password, token = (env.get(name, "") for name in _NAMES)
    headers = {}
    if user and password:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {pair}"
    elif token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        # a user in the URI is for MLflow's own client to show
        scheme, place, path, *_ = urllib.parse.urlsplit(uri)
        url = f"{scheme}://{place.rpartition('@')[2]}{path.rstrip('/')}/api/2.0/mlflow/experiments/search?max_results=1"
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=KNOCK_SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except (OSError, http.client.HTTPException, ValueError):
        return None


def _sentence(uri: str, status: int, said: str, *, given: bool) -> str:
    """What must hold, what came, what to do."""
    place = f"MLflow at {without_password(uri)}"
    if status == 401:
        came = "it refuses the ones set here" if given else "none are set here"
        return f"{place} must be given a user and password that it knows, but {came}: set {_NAMES[0]} and {_NAMES[1]}"
    return (
        f"{place} must let this user in, and under that name, but it answers 403: {said.strip()}; give the user the "
        "right, or the server that name in MLFLOW_SERVER_ALLOWED_HOSTS"
    )


def main() -> int:
    """The process: 0 let in, 3 refused, with MLflow's reason on standard output."""
    uri = sys.stdin.read()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    from gradstab.tracking.mlflow_store import prepare_environment
    from gradstab.tracking.retry import sentence

    prepare_environment()
    try:
        MlflowClient(tracking_uri=uri, registry_uri=uri).search_experiments(max_results=1)
    except MlflowException as error:
        print(sentence(error).rstrip("."))
        return EXIT_REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
