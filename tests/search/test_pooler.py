"""A connection pooler before PostgreSQL is noticed at the start; a plain relay of the connection is none."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from gradstab.errors import StorageError
from gradstab.search.postgresql import require_direct
from tests.search.storages import postgresql_url

pytestmark = pytest.mark.xdist_group("postgresql")
REFUSED = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"  # as PgBouncer says it


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """The URL of a server that does this with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):  # the end of the test closes the server
                while True:
                    client, _ = server.accept()
                    threading.Thread(target=serve, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"postgresql://postgres@127.0.0.1:{server.getsockname()[1]}/postgres?sslmode=disable&gssencmode=disable"


def refuse(client: socket.socket) -> None:
    with client:
        client.recv(4096)
        client.sendall(b"E" + struct.pack("!i", len(REFUSED) + 4) + REFUSED)


def relay(url: str, number: int | None) -> Callable[[socket.socket], None]:
    """What passes everything on to the server; a number replaces that of the server's process, as a pooler does."""
    place = Path(parse_qs(urlsplit(url).query)["host"][0]) / ".s.PGSQL.5432"

    def serve(client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(str(place))
            threading.Thread(target=copy, args=(client, server), daemon=True).start()
            copy(server, client)

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                at = piece.find(b"K\0\0\0\x0c")  # the message that tells the process's number
                if number is not None and at >= 0:
                    piece = piece[: at + 5] + struct.pack("!i", number) + piece[at + 9 :]
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)

    return serve


def test_a_pooler_that_refuses_settings_is_called_one() -> None:
    with listening(refuse) as url, pytest.raises(StorageError, match="connection pooler such as PgBouncer"):
        require_direct(url)


def test_a_pooler_that_ignores_settings_is_known_by_the_number_it_makes_up() -> None:
    with postgresql_url() as server:
        with listening(relay(server, None)) as url:
            require_direct(url)
        with (
            listening(relay(server, 77)) as url,
            pytest.raises(StorageError, match="give the server's own host and port"),
        ):
            require_direct(url)
