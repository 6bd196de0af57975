"""Checks made before Ray is imported: is the address reachable, and is there a token to send?"""

from __future__ import annotations

import os
import socket
from pathlib import Path

_CONNECT_SECONDS = 10.0
_TOKEN_FILE = Path("~/.ray/auth_token")


def require_reachable(address: str) -> None:
    """Raise an OSError where nothing listens at HOST:PORT; Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()


def enable_token_auth() -> bool:
    """Make Ray send its token where there is one (RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or Ray's file); whether it will.

    By default a head that finds a token asks for it, but a client sends none. Ray reads RAY_AUTH_MODE once, when it is
    imported; a mode that the user has set stands. Only for clients of a cluster: a driver in token mode would ask the
    cluster's workers for the token too, and lose them where the cluster has none.
    """
    if os.environ.get("RAY_AUTH_TOKEN") or _token_file_exists():
        return os.environ.setdefault("RAY_AUTH_MODE", "token") == "token"
    return False


def _token_file_exists() -> bool:
    try:
        return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or _TOKEN_FILE).expanduser().is_file()
    except (OSError, RuntimeError):  # a HOME that cannot be looked into, or none
        return False
