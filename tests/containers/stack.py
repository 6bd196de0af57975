"""A compose stack of its own: other ports, other volumes, passwords that nobody has seen."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradstab.system.provenance import COMMIT_VARIABLE, git_commit
from tests.docker_scripts import ROOT, script

PROJECT = "gradstab-test"
PORTS = ("MLFLOW_PORT", "RAY_PORT", "MLFLOW_TLS_PORT", "RAY_TLS_PORT")
Process = subprocess.CompletedProcess[str]


def run(*command: str, check: bool = True, **options: Any) -> Process:
    """A command's result; one that must succeed and does not ends the whole check with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if check and done.returncode:
        sys.exit(f"{' '.join(command[:8])} ... must succeed, but ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done


def build() -> None:
    """Both images from this checkout, whose commit they then know.

    TORCH_INDEX and WHEELS (a folder) of the environment say where torch is from.
    """
    extra = [f"--build-arg=TORCH_INDEX={os.environ['TORCH_INDEX']}"] if "TORCH_INDEX" in os.environ else []
    if os.environ.get("WHEELS"):
        extra.append(f"--build-context=wheels={os.environ['WHEELS']}")
    commit = git_commit() or ""
    extra.append(f"--build-arg={COMMIT_VARIABLE}={commit}")
    for target in ("server", "worker"):
        command = ["docker", "buildx", "build", "--quiet", "--load", "--file=docker/Dockerfile", f"--target={target}"]
        run(*command, *extra, f"--tag=gradstab-{target}:local", ".", cwd=ROOT)
    asked = ("python", "-c", "from gradstab.system.provenance import git_commit; print(git_commit() or '')")
    known = run("docker", "run", "--rm", "gradstab-worker:local", *asked).stdout.strip()
    if known != commit:
        sys.exit(f"the image must know its commit {commit!r}, but a run from it says {known!r}")


class Command:
    """`gradstab` as a process; what it prints goes to a file, which never fills up as a pipe would."""

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with this object
        command = [sys.executable, "-m", "gradstab", *arguments]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=self._log, stderr=subprocess.STDOUT, text=True
        )

    def ended(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._process.poll()

    def outcome(self, timeout: float) -> tuple[int, str]:
        """Its exit code and all it said; killed if it takes longer than `timeout` seconds."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._log.seek(0)
        return code, self._log.read().strip()


@dataclass
class Stack:
    """The stack, secured or not, with TLS or not."""

    secured: bool = False
    tls: bool = False
    folder: tempfile.TemporaryDirectory[str] = field(default_factory=lambda: tempfile.TemporaryDirectory("-secrets"))
    ports: dict[str, str] = field(default_factory=lambda: {name: _free() for name in PORTS})

    def __post_init__(self) -> None:
        script("make_secrets").make(Path(self.folder.name), {})

    @property
    def secrets(self) -> dict[str, str]:
        """What stands in each file of the stack's secrets."""
        return {path.name: path.read_text() for path in sorted(Path(self.folder.name).iterdir())}

    @property
    def mlflow(self) -> str:
        return f"http://127.0.0.1:{self.ports['MLFLOW_PORT']}"

    @property
    def ray(self) -> str:
        return f"http://127.0.0.1:{self.ports['RAY_PORT']}"

    def compose(self, *arguments: str, check: bool = True, **options: Any) -> Process:
        files = ["compose.yaml", *(["compose.secured.yaml"] if self.secured else [])]
        files += ["compose.tls.yaml"] if self.tls else []
        named = [f"--file={ROOT / 'docker' / name}" for name in files]
        environment = {**os.environ, **self.ports, "SECRETS_FOLDER": self.folder.name, "GRADSTAB_TAG": "local"}
        environment["MLFLOW_HOSTS"] = "lab.example.org:*"
        command = ("docker", "compose", f"--project-name={PROJECT}", *named, *arguments)
        return run(*command, check=check, env=environment, **options)

    @contextmanager
    def up(self, num_workers: int) -> Iterator[float]:
        """Bring it up, all healthy (yields the seconds that took); down with its volumes at the end."""
        self.compose("down", "--volumes", "--timeout=5")
        began = time.monotonic()
        try:
            self.compose("up", "--detach", "--no-build", "--wait", f"--scale=worker={num_workers}")
            yield time.monotonic() - began
        finally:
            self.compose("down", "--volumes", "--timeout=5")

    @contextmanager
    def databases_up(self) -> Iterator[None]:
        """Only PostgreSQL with empty databases; down with its volumes at the end."""
        self.compose("down", "--volumes", "--timeout=5")
        try:
            self.compose("run", "--rm", "--quiet-pull", "databases")
            yield
        finally:
            self.compose("down", "--volumes", "--timeout=5")

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "--all", "--quiet", service).stdout.split()

    def in_head(self, *command: str, check: bool = True, **options: Any) -> Process:
        return self.compose("exec", "--no-TTY", "head", *command, check=check, **options)

    def gradstab(self, *arguments: str, **environment: str) -> Command:
        """`gradstab` on this machine, which has nothing set for this cluster but what is given here."""
        mine = ("MLFLOW_", "RAY_", "GRADSTAB_", "OPTUNA_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
        return Command(arguments, {**kept, **environment})

    def told(self, study: str) -> int | None:
        """Trials that Optuna holds complete, asked of PostgreSQL; None while it does not answer."""
        query = (
            "SELECT count(*) FROM trials JOIN studies USING (study_id) "
            f"WHERE state = 'COMPLETE' AND study_name = '{study}'"
        )
        answer = self.psql("gradstab", "postgres-password", "optuna", query)
        return int(answer.stdout) if answer.returncode == 0 and answer.stdout.strip().isdecimal() else None

    def psql(self, user: str, secret: str, database: str, query: str) -> Process:
        """What PostgreSQL answers a user who shows the password in a secret of the service `databases`."""
        client = f'PGPASSWORD=$(cat /run/secrets/{secret}) psql -h postgres -U {user} -d {database} -tAc "{query}"'
        return self.compose("run", "--rm", "--no-deps", "--quiet-pull", "databases", client, check=False)

    def held(self, study: str) -> dict[str, Any]:
        """What segments, Optuna and MLflow hold of a study, read on the head."""
        script = (Path(__file__).parent / "held_inside.py").read_text()
        answer = self.in_head("python", "-", study, input=script)
        found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
        return found


def _free() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
