"""What the user is told, in one sentence and at once, where no fitting cluster is at the address."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gradstab.execution.dashboard import ClusterError
from gradstab.execution.jobs import AfterRay, ClusterJobs, given_address


@pytest.fixture(autouse=True)
def no_token(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def answering(status: int, body: str) -> Iterator[str]:
    """A server that says the same to everybody, on a port of its own."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def told(address: str) -> str:
    with pytest.raises(ClusterError) as caught:
        ClusterJobs(address)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nobody_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "refused" in told(f"http://127.0.0.1:{port}")
    assert "refused" in told(f"127.0.0.1:{port}")


@pytest.mark.parametrize(("status", "body"), [(200, "[]"), (200, "{}"), (404, ""), (500, "")])
def test_something_else_answers(status, body):
    with answering(status, body) as url:
        assert "no Ray dashboard answers at" in told(url)


def test_no_web_server_at_all():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def babble() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"\x00\x01 not HTTP\r\n\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        assert "no Ray dashboard answers at" in told(f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()


@pytest.mark.parametrize("version", ["1.13.0", "2.49.1", "3.0.0"])
def test_another_ray(version):
    with answering(200, json.dumps({"ray_version": version})) as url:
        assert f"must run Ray 2.50 or newer, below 3, got {version}" in told(url)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("mode", [None, "disabled"])
def test_a_token_is_asked_for_and_there_is_none_to_show(monkeypatch, status, mode):
    if mode:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
        monkeypatch.setenv("RAY_AUTH_TOKEN", "there but not to be shown")
    with answering(status, "") as url:
        assert "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN" in told(url)


def test_ray_client_addresses_take_no_jobs():
    assert "http://HEAD:8265" in told("ray://127.0.0.1:10001")


def test_the_flag_comes_before_the_environment(monkeypatch):
    assert given_address(None) is None
    monkeypatch.setenv("RAY_ADDRESS", "http://second:8265")
    assert given_address(None) == "http://second:8265"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://first:8265")
    assert given_address(None) == "http://first:8265"
    assert given_address("http://flag:8265") == "http://flag:8265"


OF_RAY = (
    "2026-11-28 11:04:02,511\tINFO job_manager.py:568 -- Runtime env is setting up.\n"
    "Running entrypoint for job own-1: exec python job_entry.py run own.py\n"
    "[2026-11-28 11:04:05,003 I 4711 4711] (gcs_client) worker.cc:12: connected\n"
)
OF_STUDY = (
    "results   /data\n2026-11-28 11:04:09,001\tWARNING worker.py:7 -- a line of Ray's in the middle\n300 trials\n"
)


@pytest.mark.parametrize("length", [1, 7, 1000])
@pytest.mark.parametrize(
    ("log", "shown"),
    [
        (OF_RAY + OF_STUDY, OF_STUDY),
        (OF_STUDY, OF_STUDY),
        (OF_RAY + "\n" + OF_STUDY, OF_STUDY),
        (OF_RAY, OF_RAY),  # why it did not begin
        (OF_RAY + "no newline", OF_RAY + "no newline"),
        ("", ""),
    ],
)
def test_lines_of_ray_before_the_first_of_the_study_are_left_out(log, shown, length):
    pieces: list[str] = []
    after_ray = AfterRay(pieces.append)
    for start in range(0, len(log), length):
        after_ray(log[start : start + length])
    after_ray.end()
    assert "".join(pieces) == shown
