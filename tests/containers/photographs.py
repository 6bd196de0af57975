"""Pictures of a study's pages in the MLflow UI, made by a headless Chromium where there is one."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from gradstab.tracking.links import view_link

_QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def photograph(base_url: str, experiment: str, out: Path) -> None:
    """The experiment's map, as a person's browser shows it, into `out`."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        print("  no Chromium here: no photograph")
        return
    picture = out / "mlflow.png"
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, *_QUIET, f"--user-data-dir={profile}", "--virtual-time-budget=30000"]
        command += ["--window-size=1600,1200", f"--screenshot={picture}", view_link(base_url, experiment)]
        subprocess.run(command, capture_output=True, timeout=180, check=False)
    print(f"  photograph: {picture}" if picture.exists() else "  Chromium made no photograph")
