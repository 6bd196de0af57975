"""The code that results are made with: package versions and the commit."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

COMMIT_VARIABLE = "GRADSTAB_GIT_COMMIT"


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in ("gradstab", "torch", "numpy", "scikit-learn", "optuna", "ray", "mlflow"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


@cache
def code_digest(package: Path = Path(__file__).parent.parent) -> str:
    """A digest of this package's source files, equal on two machines that run the same code.

    Args:
        package: the folder of the package; by default the one that is running.
    """
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()}\0".encode())
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def git_commit() -> str | None:
    """Commit of the code that runs, with a mark if it has uncommitted changes; None if it is unknown.

    Outside a checkout the variable GRADSTAB_GIT_COMMIT gives it: `gradstab submit` sets it for its job, and a container
    image may set it.
    """
    try:
        # fails if the package is installed within a checkout of another project
        _git("ls-files", "--error-unmatch", Path(__file__).name)
        return _git("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return os.environ.get(COMMIT_VARIABLE) or None


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
