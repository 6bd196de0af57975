"""Writes docker/.env from docker/example.env, with a password of its own for every secret; an existing one stays.

Usage: python3 docker/make_env.py
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from pathlib import Path

HERE = Path(__file__).parent
SECRET = re.compile(r"^([A-Z_]*(?:PASSWORD|TOKEN|SECRET_KEY))=$", re.MULTILINE)


def filled(example: str) -> str:
    """The example with a new secret behind every name that has none."""
    return SECRET.sub(lambda found: f"{found[1]}={secrets.token_urlsafe(32)}", example)


if __name__ == "__main__":
    place = HERE / ".env"
    try:
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.exit(f"{place} is there already, and its passwords are those of the volumes: fill in by hand what it lacks")
    with os.fdopen(descriptor, "w") as file:
        file.write(filled((HERE / "example.env").read_text()))
    print(f"{place} has a password for every secret, and only you can read it")
