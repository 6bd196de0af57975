"""Writes a file with a new password for every secret of the stack into docker/secrets; existing files stay.

Usage: python3 docker/make_secrets.py

Passwords that docker/.env holds, as earlier versions had them, become files unchanged: they are those of the volumes.
Only you can enter the folder. The files can be read by everybody who can, because services run as users of their own.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
# each file, and the name in docker/.env that it had in earlier versions
NAMES = {
    "postgres-password": "POSTGRES_PASSWORD",
    "optuna-db-password": "OPTUNA_DB_PASSWORD",
    "mlflow-db-password": "MLFLOW_DB_PASSWORD",
    "mlflow-admin-password": "MLFLOW_ADMIN_PASSWORD",
    "mlflow-password": "MLFLOW_PASSWORD",
    "mlflow-secret-key": "MLFLOW_SECRET_KEY",
    "ray-token": "RAY_AUTH_TOKEN",
}


def written_before(env: Path) -> dict[str, str]:
    """What docker/.env says, without quotes; nothing where there is no such file."""
    lines = env.read_text().splitlines() if env.is_file() else []
    found = (re.fullmatch(r"\s*([A-Z_]+)\s*=\s*(['\"]?)(.+?)\2\s*", line) for line in lines)
    return {match[1]: match[3] for match in found if match}


def make(folder: Path, before: Mapping[str, str]) -> list[str]:
    """Write the files that are missing; their names."""
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    made = []
    for name, variable in NAMES.items():
        place = folder / name
        if place.exists():
            continue
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        with os.fdopen(descriptor, "w") as file:
            file.write(before.get(variable) or secrets.token_urlsafe(32))
        place.chmod(0o444)  # whatever the umask
        made.append(name)
    return made


if __name__ == "__main__":
    folder = HERE / "secrets"
    made = make(folder, written_before(HERE / ".env"))
    print(f"{folder}, which only you can enter, has {', '.join(made) or 'nothing new: every secret was there'}")
