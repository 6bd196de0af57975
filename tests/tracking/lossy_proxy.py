"""A proxy before a server: it keeps replies to itself, refuses, is slow, or says that the server has failed."""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


def free_port() -> int:
    """A port that nothing listens on, below those that the kernel lends to clients: one of them would get it next."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class LossyProxy:
    """Forwards to a port of this machine as badly as it is told to; the attributes may be set at any time.

    Args:
        port: where the server is, or will be: until then connections break off without an answer.
        lose: part of the paths of which one reply is lost, once the server has acted.
        which: the request whose reply is lost, counted from 1 over those that reached the server.

    Attributes:
        refuses: connections break off, and nothing is forwarded.
        failing: share of requests, drawn with a fixed seed, that are answered with 500; every second of those, after
            the server has acted.
        delay_s: before a request is forwarded.
        lost, failed: replies kept, and 500s given.
    """

    def __init__(self, port: int, *, lose: str = "", which: int = 0) -> None:
        self.refuses = False
        self.failing = 0.0
        self.delay_s = 0.0
        self.lost = self.failed = 0
        self._seen = 0
        self._chance = random.Random(20261123)
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                body = self._body()
                if proxy.refuses:
                    self.close_connection = True
                    return
                time.sleep(proxy.delay_s)
                failure = proxy._failure()
                if failure == "before":
                    self.send_error(500)
                    return
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                try:
                    connection.request(self.command, self.path, body, dict(self.headers))
                    reply = connection.getresponse()
                    content = reply.read()
                except OSError:
                    self.close_connection = True
                    return
                finally:
                    connection.close()
                if which and lose in self.path and proxy._counts(which):
                    self.close_connection = True
                    return
                if failure == "after":
                    self.send_error(500)
                    return
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.getheader("Content-Type", "application/json"))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":  # as files are sent
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                del self.headers["Transfer-Encoding"]
                return b"".join(parts)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
                del format, args

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])

    def _counts(self, which: int) -> bool:
        with self._lock:
            self._seen += 1
            hit = self._seen == which
            self.lost += hit
            return hit

    def _failure(self) -> str:
        with self._lock:
            if self._chance.random() >= self.failing:
                return ""
            self.failed += 1
            return "before" if self.failed % 2 else "after"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
