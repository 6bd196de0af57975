"""A proxy before a server that lets one request through and keeps the reply to itself."""

from __future__ import annotations

import http.client
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LossyProxy:
    """Forwards to a port of this machine; of the requests whose path ends with `lose`, the reply to one is lost.

    Args:
        port: where the server is, or will be: until then connections break off without an answer.
        which: the request whose reply is lost, counted from 1 over those that reached the server.
    """

    def __init__(self, port: int, *, lose: str, which: int) -> None:
        self.lost = 0
        self._seen = 0
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
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
                if self.path.endswith(lose) and proxy._counts(which):
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.getheader("Content-Type", "application/json"))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

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

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
