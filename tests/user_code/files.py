"""Study folders on disk, and fresh Python processes that know nothing of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

PACKAGE_FOLDER = Path(__file__).parents[2] / "pipeline"


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Put files into a folder, which is made; returns it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def python(program: str, folder: Path, *, path: Path | None = None) -> str:
    """What a program prints in a fresh Python that works in a folder; an error of it fails the test."""
    search = os.pathsep.join(str(entry) for entry in (PACKAGE_FOLDER, path) if entry)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
