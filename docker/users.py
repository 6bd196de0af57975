"""Makes the MLflow user as whom drivers log in, who is no administrator, or gives that user its password.

Usage: users.py URL; the administrator's name is in MLFLOW_AUTH_ADMIN_USERNAME, the user's in MLFLOW_USER.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

SECRETS = Path("/run/secrets")


def asked(url: str, method: str, content: dict[str, str], admin: str) -> int:
    """Status of a call of MLflow's API for users, made by the administrator."""
    headers = {
        "Authorization": f"Basic {base64.b64encode(admin.encode()).decode()}",
        "Content-Type": "application/json",
    }
    request = urllib.request.Request(url, json.dumps(content).encode(), headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def main(url: str) -> None:
    """Make the user, or set the password of one who is there."""
    admin, user = os.environ["MLFLOW_AUTH_ADMIN_USERNAME"], os.environ["MLFLOW_USER"]
    if admin == user:
        sys.exit(f"drivers must log in to MLflow as another user than the administrator, got {user!r} for both")
    as_admin = f"{admin}:{(SECRETS / 'mlflow-admin-password').read_text().strip()}"
    wanted = {"username": user, "password": (SECRETS / "mlflow-password").read_text().strip()}
    status = asked(f"{url}/api/2.0/mlflow/users/create", "POST", wanted, as_admin)
    if status != 200:
        status = asked(f"{url}/api/2.0/mlflow/users/update-password", "PATCH", wanted, as_admin)
    if status != 200:
        sys.exit(f"MLflow must let its administrator {admin!r} make the user {user!r}, but answers {status}")


if __name__ == "__main__":
    main(sys.argv[1])
