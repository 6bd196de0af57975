"""The secured stack behind TLS: MLflow and Ray answer over it alone as they do without, and to their own names alone."""

from __future__ import annotations

import base64
import http.client
import os
import ssl
import subprocess
import sys
import time
from pathlib import Path

from tests.containers.secured import SMALL, STUDY
from tests.containers.stack import Stack

NAME = "lab.example.org"
SEARCH = "/ajax-api/2.0/mlflow/runs/search"


def make_certificate(folder: Path) -> None:
    """A certificate of this machine, signed by itself, and its key."""
    key, certificate = folder / "tls-key", folder / "tls-certificate"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}"]
    command += ["-addext", f"subjectAltName=DNS:{NAME},DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    key.chmod(0o444)


def check_tls(stack: Stack) -> None:
    """All of it, ending the process with a sentence at the first thing that does not hold."""
    certificate = Path(stack.folder.name) / "tls-certificate"
    port = stack.ports["MLFLOW_TLS_PORT"]
    user = base64.b64encode(f"gradstab:{stack.secrets['mlflow-password']}".encode()).decode()
    own = f"{NAME}:{port}"
    asked = [
        ("without a password", 401, {"Host": own}),
        ("with its password", 200, {"Host": own, "Authorization": f"Basic {user}"}),
        ("from its own page", 200, {"Host": own, "Authorization": f"Basic {user}", "Origin": f"https://{own}"}),
        ("from another's page", 403, {"Host": own, "Authorization": f"Basic {user}", "Origin": "https://other.org"}),
        ("under another's name", 403, {"Host": f"other.org:{port}", "Authorization": f"Basic {user}"}),
    ]
    for how, due, headers in asked:
        got = _status(port, certificate, headers)
        if got != due:
            sys.exit(f"MLflow asked over TLS {how} must answer {due}, got {got}")
    print(f"  MLflow over TLS: {', '.join(f'{how} {due}' for how, due, _ in asked)}")
    try:
        _status(port, None, {})
    except ssl.SSLCertVerificationError:
        pass
    else:
        sys.exit("a client that does not know the certificate must refuse it, but did not")

    began = time.monotonic()
    trusted = {name: str(certificate) for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")}
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(Path(stack.folder.name) / "ray-token")}
    address = f"https://localhost:{stack.ports['RAY_TLS_PORT']}"
    submit = ("submit", STUDY, "--address", address, "--follow", *SMALL, "--name", "over-tls")
    code, said = stack.gradstab(*submit, **trusted, **token).outcome(300)
    if code or "stable" not in said:  # the driver's last table, which comes through a websocket
        sys.exit(f"a study submitted over TLS must run and show its log, but ended with {code}:\n{said[-3000:]}")
    print(f"  Ray over TLS: 24 trials submitted and followed in {time.monotonic() - began:.0f} s")


def _status(port: str, certificate: Path | None, headers: dict[str, str]) -> int:
    """Of a search for runs, which is what MLflow's pages send."""
    context = ssl.create_default_context(cafile=os.fspath(certificate) if certificate else None)
    connection = http.client.HTTPSConnection("localhost", int(port), timeout=30, context=context)
    try:
        content = '{"experiment_ids": []}'
        connection.request("POST", SEARCH, content, {"Content-Type": "application/json", **headers})
        return connection.getresponse().status
    finally:
        connection.close()
