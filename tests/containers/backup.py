"""Results fetched, lost and restored, and a backup moved into a fresh stack: the commands of docker/README.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.containers.stack import Stack

DATABASES = ("optuna", "mlflow")
VOLUMES = {"artifacts": ("mlflow", "/artifacts"), "results": ("head", "/results")}


def fetch(stack: Stack, study: str, out: Path) -> None:
    """The folder of a study, copied out of the head's volume, is all that the head has."""
    stack.compose("cp", f"head:/results/{study}", str(out / study))
    here = {str(path.relative_to(out / study)) for path in (out / study).rglob("*") if path.is_file()}
    listing = stack.in_head("find", f"/results/{study}", "-type", "f", "-printf", "%P\n").stdout
    if here != set(listing.splitlines()):
        sys.exit(f"all files of {study} must be fetched, but these differ: {here ^ set(listing.splitlines())}")
    code, said = stack.gradstab("region", study, "--results", str(out)).outcome(120)
    if code:
        sys.exit(f"gradstab region must read the fetched folder, but ended with {code}:\n{said[-2000:]}")
    print(f"  fetched with `docker compose cp`: {len(here)} files, and `gradstab region` reads them here")


def lose_and_restore(stack: Stack, study: str, trials: int) -> None:
    """A results folder that is lost comes back from MLflow, and nothing is trained again."""
    before, files = _without_dates(stack.held(study)), _segments(stack, study)
    stack.in_head("rm", "-r", f"/results/{study}")
    done = stack.in_head(
        *("gradstab", "run", "/opt/studies/quickstart.py", "--name", study, "--trials", str(trials)), timeout=600
    )
    if (after := _without_dates(stack.held(study))) != before:
        differing = [name for name in before if before[name] != after[name]]
        sys.exit(f"{study} must be the same after it was restored from MLflow, but {differing} differ: {done.stderr}")
    if _segments(stack, study) != files:  # their names hold checksums
        sys.exit(f"{study}'s records must come back from MLflow as they were, but other files are there: {done.stderr}")
    print(
        f"  its folder deleted and restored from MLflow: all {len(before['segments'])} records, nothing trained again"
    )


def _segments(stack: Stack, study: str) -> list[str]:
    names = stack.in_head("ls", f"/results/{study}").stdout.split()
    return sorted(name for name in names if name.startswith("segment-"))


def _without_dates(held: dict[str, Any]) -> dict[str, Any]:
    """What is held but params and tags, some of which say when a run was."""
    return {name: value for name, value in held.items() if name != "written"}


def back_up(stack: Stack, into: Path) -> None:
    """Both databases and both volumes as files."""
    for name in DATABASES:
        command = ("pg_dump", "--username=gradstab", "--format=custom", name)
        (into / f"{name}.dump").write_bytes(_bytes(stack, "postgres", *command))
    for name, (service, folder) in VOLUMES.items():
        (into / f"{name}.tar").write_bytes(_bytes(stack, service, "tar", "-C", folder, "-c", "."))
    sizes = {path.name: f"{path.stat().st_size / 1e6:.1f} MB" for path in sorted(into.iterdir())}
    print(f"  backed up: {', '.join(f'{name} {size}' for name, size in sizes.items())}")


def restore(stack: Stack, saved: Path) -> None:
    """A backup into a stack that has only empty databases; brings up the rest."""
    for name in DATABASES:
        command = ("pg_restore", "--username=gradstab", f"--dbname={name}", "--exit-on-error")
        _bytes(stack, "postgres", *command, given=saved / f"{name}.dump")
    stack.compose("up", "--detach", "--no-build", "--wait")
    for name, (service, folder) in VOLUMES.items():
        _bytes(stack, service, "tar", "-C", folder, "-x", given=saved / f"{name}.tar")


def _bytes(stack: Stack, service: str, *command: str, given: Path | None = None) -> bytes:
    """What a command in a service prints, with a file as its input; it must succeed."""
    (container,) = stack.containers(service)
    content = given.read_bytes() if given else None
    done = subprocess.run(
        ["docker", "exec", "--interactive", container, *command], input=content, capture_output=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} must succeed, but ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
    return done.stdout
