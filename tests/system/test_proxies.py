"""Loopback is asked directly whatever proxy is set, and a proxy's page does not pass for a server's answer."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gradstab.errors import UsageError
from gradstab.execution.dashboard import ClusterError, require_dashboard
from gradstab.system.proxies import is_page, proxy_setting, spare_loopback, without_pages
from gradstab.system.storage_url import parse_tracking
from gradstab.tracking.credentials import check_credentials
from gradstab.tracking.retry import short_reason

PAGE = b"<!DOCTYPE html><html><head><title>denied</title></head>\n<body>blocked</body></html>"


@pytest.fixture(autouse=True)
def no_proxy_but_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "_opener", None)  # it keeps the proxies of its first request
    for kind in ("http", "https", "all", "no"):
        for name in (f"{kind}_proxy", f"{kind.upper()}_PROXY"):
            monkeypatch.setenv(name, "taken back at the end of the test")
            monkeypatch.delenv(name)


class _Handler(BaseHTTPRequestHandler):
    status = 403

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(PAGE)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(params=[200, 403])
def proxy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A proxy that answers every request with a page; the environment names it."""
    handler = type("Handler", (_Handler,), {"status": request.param})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("http_proxy", url)
    yield url
    server.shutdown()
    server.server_close()


def test_loopback_goes_past_a_proxy_here_and_in_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "intern.example")
    spare_loopback()
    asks = "import sys, urllib.request; sys.exit(not all(map(urllib.request.proxy_bypass, sys.argv[1:])))"
    hosts = ["localhost", "127.0.0.1", "intern.example"]
    assert subprocess.run([sys.executable, "-c", asks, *hosts], check=False).returncode == 0
    assert not urllib.request.proxy_bypass("mlflow.example")


@pytest.mark.parametrize(("given", "left"), [({}, None), ({"https_proxy": "http://p:1", "no_proxy": "*"}, "*")])
def test_an_environment_without_a_proxy_or_with_none_for_all_stays(monkeypatch, given, left):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    spare_loopback()
    assert os.environ.get("no_proxy") == left
    assert "NO_PROXY" not in os.environ


def test_the_variable_that_sends_a_request_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_setting("http://mlflow.example:5000") == ""
    monkeypatch.setenv("ALL_PROXY", "http://p:1")
    monkeypatch.setenv("https_proxy", "http://p:1")
    monkeypatch.setenv("no_proxy", "intern.example")
    assert proxy_setting("http://mlflow.example:5000") == "all_proxy"
    assert proxy_setting("https://mlflow.example") == "https_proxy"
    assert proxy_setting("http://intern.example") == ""


@pytest.mark.usefixtures("proxy")
def test_a_page_in_place_of_mlflow_or_ray_ends_the_command_and_is_not_printed() -> None:
    calls: list[tuple[Callable[[], None], type[Exception]]] = [
        (lambda: check_credentials(parse_tracking("http://mlflow.example:5000")), UsageError),
        (lambda: require_dashboard("http://ray.example:8265"), ClusterError),
    ]
    for call, error in calls:
        with pytest.raises(error, match=r"something else than .* answers") as raised:
            call()
        assert "http_proxy" in str(raised.value)
        assert "no_proxy" in str(raised.value)
        assert "<" not in str(raised.value)


def test_a_page_in_an_error_is_replaced_by_words() -> None:
    reason = short_reason(Exception(f"API request failed with error code 403 != 200. Response body: '{PAGE.decode()}'"))
    assert reason == (
        "API request failed with error code 403 != 200. Response body: 'a web page came back, as a proxy or gateway "
        "sends it"
    )
    assert without_pages("a < b and b > c") == "a < b and b > c"


def test_json_and_plain_text_are_no_pages() -> None:
    assert is_page(b"\n " + PAGE)
    assert not any(
        map(is_page, (b"", b'{"error_code": "<html>"}', b"Permission denied", b"<Error><Code>x</Code></Error>"))
    )
