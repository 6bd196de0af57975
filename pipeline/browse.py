"""Opening a study in the MLflow UI, and what its shipper left to say."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request

from pipeline.errors import GradstabError
from pipeline.settings import Settings
from pipeline.study_folder import StudyFolder

START_SECONDS = 60.0


def waiting_trials(folder: StudyFolder, settings: Settings) -> int:
    """Recorded trials that this tracking store does not have yet."""
    from pipeline.tracking.shipping_files import WaitingCounter

    return WaitingCounter(folder.path).waiting(settings.tracking.value or "")


def serve_ui(settings: Settings, folder: StudyFolder | None, first_port: int) -> None:
    """Serve the MLflow UI until interrupted, the link on stdout; for a remote server only print the link."""
    from pipeline.tracking.links import study_link, ui_command, ui_environment

    uri = settings.tracking.value or ""
    if uri.startswith(("http://", "https://")):
        print(study_link(uri.rstrip("/"), folder.path if folder else None), flush=True)
        return
    port = free_port(first_port)
    artifacts = str(settings.results_root() / "mlflow" / "artifacts")
    command = ui_command(artifacts if uri.startswith(("sqlite:", "postgresql")) else None, port)
    environment = {**os.environ, **settings.mlflow_env, **ui_environment(uri)}
    base = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, env=environment, stdout=sys.stderr) as server:
        try:
            _await(base, server)
            print(study_link(base, folder.path if folder else None), flush=True)
            server.wait()
        except KeyboardInterrupt:
            server.terminate()
        finally:
            if server.poll() is None:
                server.terminate()
    if server.returncode not in (0, -15, 130):
        raise GradstabError(f"the MLflow UI must keep running, but it ended with exit code {server.returncode}")


def free_port(first: int) -> int:
    """The first port from `first` on that nothing on this machine listens on."""
    for port in range(first, min(first + 100, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise GradstabError(f"a port from {first} on must be free for the MLflow UI, but 100 are taken: use --port")


def _await(base: str, server: subprocess.Popen[bytes]) -> None:
    begin = time.monotonic()
    while time.monotonic() - begin < START_SECONDS:
        if server.poll() is not None:
            raise GradstabError(f"the MLflow UI must start, but it ended with exit code {server.returncode}; see above")
        try:
            with urllib.request.urlopen(f"{base}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.3)
    raise GradstabError(f"the MLflow UI must answer within {START_SECONDS:.0f} s at {base}, but it did not")
