"""A server that wants credentials ends a command at its start; one that is away or slow does not.

The servers here only say yes or no; `make test-containers` asks MLflow's own.
"""

from __future__ import annotations

import base64
import io
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

import pytest

from gradstab.errors import UsageError
from gradstab.system import child_process
from gradstab.system.storage_url import MlflowServer, parse_tracking
from gradstab.tracking import credentials
from gradstab.tracking.credentials import check_credentials, version_note

NAMES = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
RIGHT = "Basic " + base64.b64encode(b"ada:right").decode()


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """No credentials, and no file with any."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def asked_here(monkeypatch):
    """MLflow's own client asks in this process, which has imported it, and not in one of its own."""

    def run(module: str, said: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        assert (module, env) == (credentials.__name__, None)
        monkeypatch.setattr(sys, "stdin", io.StringIO(said))
        with redirect_stdout(io.StringIO()) as shown:
            code = credentials.main()
        return subprocess.CompletedProcess(module, code, shown.getvalue(), "")

    monkeypatch.setattr(child_process, "run", run)


@contextmanager
def server(answer: Callable[[str], int]) -> Iterator[str]:
    """A server whose status is `answer(authorization)`; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(BrokenPipeError):  # who asked has hung up
                self.send_response(answer(self.headers.get("Authorization", "")))
                self.end_headers()
                self.wfile.write(b"{}")

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}"
    finally:
        listening.shutdown()
        listening.server_close()


def password_only(authorization: str) -> int:
    return 200 if authorization == RIGHT else 401


@pytest.mark.usefixtures("asked_here")
def test_no_credentials_end_in_one_sentence_with_exit_code_2():
    with server(password_only) as url, pytest.raises(UsageError) as raised:
        check_credentials(MlflowServer(url))
    said = str(raised.value)
    assert url in said
    assert "none are set here" in said
    assert "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in said
    assert "\n" not in said
    assert raised.value.exit_code == 2


@pytest.mark.usefixtures("asked_here")
def test_forbidden_is_said_with_the_servers_reason():
    with server(lambda _: 403) as url, pytest.raises(UsageError, match=r"403.*MLFLOW_SERVER_ALLOWED_HOSTS"):
        check_credentials(MlflowServer(url))


def test_a_user_that_only_mlflows_own_client_shows_lets_in_and_a_wrong_one_does_not():
    with server(password_only) as url:
        check_credentials(MlflowServer(url.replace("//", "//ada:right@")))
        with pytest.raises(UsageError) as raised:
            check_credentials(MlflowServer(url.replace("//", "//ada:wrong-secret@")))
    assert "refuses the ones set here" in str(raised.value)
    assert "wrong-secret" not in str(raised.value)


def test_right_credentials_cost_one_request():
    asked: list[str] = []

    def answer(authorization: str) -> int:
        asked.append(authorization)
        return password_only(authorization)

    given = {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "right"}
    with server(answer) as url:
        check_credentials(MlflowServer(url), given)
    assert asked == [RIGHT]


@pytest.mark.parametrize("status", [200, 404, 429, 500, 503])
def test_every_other_answer_lets_a_study_begin(status):
    with server(lambda _: status) as url:
        check_credentials(MlflowServer(url))


def test_a_server_that_is_away_silent_or_none_lets_a_study_begin(monkeypatch):
    monkeypatch.setattr(credentials, "REQUEST_SECONDS", 0.2)
    hold = threading.Event()
    with server(lambda _: 401 + hold.wait(1)) as url:
        check_credentials(MlflowServer(url))
    check_credentials(MlflowServer(url))  # gone now
    for other in ("sqlite:////tmp/mlflow.db", "postgresql://ada@host/mlflow", "http://ho st/"):
        check_credentials(parse_tracking(other))


@contextmanager
def versioned(text: str) -> Iterator[str]:
    """A server that answers this to every question."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    listening.server_close()


def test_a_server_of_another_version_is_told_with_both():
    with versioned("2.22.0") as url:
        assert version_note(MlflowServer(url)) is not None
        for part in ("2.22.0", version("mlflow")):
            assert part in (version_note(MlflowServer(url)) or "")


@pytest.mark.parametrize("text", [version("mlflow"), ".".join([*version("mlflow").split(".")[:2], "99"]), "", "<html>"])
def test_a_server_of_the_same_minor_version_or_that_does_not_tell_is_no_news(text):
    with versioned(text) as url:
        assert version_note(MlflowServer(url)) is None
    assert version_note(MlflowServer(url)) is None  # gone now
