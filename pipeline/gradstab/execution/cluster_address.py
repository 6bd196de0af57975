"""At a cluster's door: does anything listen there, and have we a token to show? Asked before Ray is imported."""

from __future__ import annotations

import os
import socket
from pathlib import Path

_KNOCK_SECONDS = 10.0
_TOKEN_FILE = Path("~/.ray/auth_token")


def require_reachable(address: str) -> None:
    """Raises an OSError where nothing listens at HOST:PORT, for which Ray itself would wait minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_SECONDS).close()


def enable_token_auth() -> bool:
    """Have Ray show its token where there is one (RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or Ray's file); is there?

    Ray reads RAY_AUTH_MODE once, when it is imported, and shows none by default, though a head that finds a token
    asks for it by default. A mode that a person has set stands. For clients of a cluster only: a driver in token mode
    would ask the cluster's workers for it too, and lose them where the cluster knows none.
    """
    token_file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or _TOKEN_FILE).expanduser()
    if os.environ.get("RAY_AUTH_TOKEN") or token_file.is_file():
        return os.environ.setdefault("RAY_AUTH_MODE", "token") == "token"
    return False
