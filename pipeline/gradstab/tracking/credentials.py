"""Checks before a study starts that MLflow is what answers, and that it accepts our credentials.

``python -m gradstab.tracking.credentials`` reads a tracking URI from standard input and asks with MLflow's own client,
which also knows credential files and plug-ins. It is a process of its own, so that the driver need not import mlflow.
"""

from __future__ import annotations

import base64
import http.client
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from gradstab.errors import UsageError
from gradstab.system import child_process
from gradstab.system.proxies import is_page, something_else_answers, spare_loopback
from gradstab.system.storage_url import MlflowServer, Tracking, parse_tracking

REFUSED = (401, 403)
REQUEST_SECONDS = 5.0
VERSION_SECONDS = 2.0
EXIT_REFUSED = 3
_VERSION = re.compile(r"\d+(\.\w+)+")
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
    status, page = _answer(tracking.url, mlflow_env)
    # a page with 502 to 504 is a gateway's word that the server behind it is away
    if status is None or status >= 500 or (status not in REFUSED and not page):
        return
    asked = child_process.run("gradstab.tracking.credentials", tracking.url, env=mlflow_env)
    if asked.returncode == EXIT_REFUSED:
        if page:
            raise UsageError(something_else_answers(str(tracking), "MLflow", status))
        env = {**os.environ, **(mlflow_env or {})}
        given = "@" in tracking.url or any(env.get(name) for name in _NAMES)
        raise UsageError(_refusal(tracking, status, asked.stdout, given=given))


def version_note(tracking: Tracking, mlflow_env: Mapping[str, str] | None = None) -> str | None:
    """A sentence if an MLflow server is of another minor version than the client here; None if it does not tell."""
    if not isinstance(tracking, MlflowServer):
        return None
    try:
        with urllib.request.urlopen(_request(tracking.url, "/version", mlflow_env), timeout=VERSION_SECONDS) as answer:
            server = answer.read(_PAGE_BYTES).decode().strip()
        here = version("mlflow")
    except (OSError, http.client.HTTPException, ValueError, PackageNotFoundError):
        return None
    if not _VERSION.fullmatch(server) or server.split(".")[:2] == here.split(".")[:2]:
        return None
    return (
        f"MLflow's server has version {server}, and its client here {here}: trials and values arrive, but the saved "
        f"views are made for {here} and may look different"
    )


def _request(uri: str, path: str, mlflow_env: Mapping[str, str] | None) -> urllib.request.Request:
    """A request with the credentials of the environment, without a user that stands in the URI."""
    env = {**os.environ, **(mlflow_env or {})}
    user, password, token = (env.get(name, "") for name in _NAMES)
    headers = {}
    if user and password:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {pair}"
    elif token:
        headers["Authorization"] = f"Bearer {token}"
    scheme, place, folder, *_ = urllib.parse.urlsplit(uri)
    return urllib.request.Request(f"{scheme}://{place.rpartition('@')[2]}{folder.rstrip('/')}{path}", headers=headers)


def _answer(uri: str, mlflow_env: Mapping[str, str] | None) -> tuple[int | None, bool]:
    """HTTP status of a cheap request with the credentials of the environment, and whether a web page came back.

    The status is None if no answer comes in time. A user that stands in the URI is not shown: the child process shows
    it, with MLflow's own client.
    """
    try:
        request = _request(uri, "/api/2.0/mlflow/experiments/search?max_results=1", mlflow_env)
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
