"""Checks before a study starts that MLflow is what answers, and that it accepts our credentials.

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
from gradstab.system.proxies import is_page, something_else_answers, spare_loopback
from gradstab.system.storage_url import MlflowServer, Tracking, parse_tracking

REFUSED = (401, 403)
REQUEST_SECONDS = 5.0
EXIT_REFUSED = 3
_PAGE_BYTES = 1000  # enough to tell a web page from an answer
_NAMES = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


def check_credentials(tracking: Tracking, mlflow_env: Mapping[str, str] | None = None) -> None:
    """Raise an error if an MLflow server refuses our credentials, or if something else answers in its place.

    A server that is away or slow passes, as others do.

    Args:
        tracking: MLflow's store. Only a server has credentials to check.
        mlflow_env: variables to add to the environment.

    Raises:
        UsageError: the server answers 401 or 403, or a web page comes back that a proxy or a gateway sent.
    """
    if not isinstance(tracking, MlflowServer):
        return
    spare_loopback()
    env = {**os.environ, **(mlflow_env or {})}
    status, page = _answer(tracking.url, env)
    # a page with 502 to 504 is a gateway's word that the server behind it is away
    if status is None or status >= 500 or (status not in REFUSED and not page):
        return
    asked = child_process.run("gradstab.tracking.credentials", tracking.url, env=mlflow_env)
    if asked.returncode == EXIT_REFUSED:
        if page:
            raise UsageError(something_else_answers(str(tracking), "MLflow", status))
        given = "@" in tracking.url or any(env.get(name) for name in _NAMES)
        raise UsageError(_refusal(tracking, status, asked.stdout, given=given))


def _answer(uri: str, env: Mapping[str, str]) -> tuple[int | None, bool]:
    """HTTP status of a cheap request with the credentials of the environment, and whether a web page came back.

    The status is None if no answer comes in time.
    """
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
            return int(answer.status), is_page(answer.read(_PAGE_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            return error.code, is_page(error.read(_PAGE_BYTES))
    except (OSError, http.client.HTTPException, ValueError):
        return None, False


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
