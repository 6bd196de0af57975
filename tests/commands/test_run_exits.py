"""How `gradstab run` ends, by what became of the study: its exit code, and what it says still waits."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gradstab.cli import main
from gradstab.errors import StorageError
from gradstab.loop.progress import Progress
from gradstab.session import drive as session
from gradstab.session.drive import Ended
from tests.report.planted import plant

DONE = Counter({"stable": 18})


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (Ended(Progress(20, DONE, failed=2), waiting=0, stopped=False), 3),
        (Ended(Progress(18, DONE), waiting=5, stopped=False), 0),
        (Ended(Progress(18, DONE), waiting=0, stopped=True), 0),  # it was asked to stop, and was done
        (Ended(Progress(20, DONE), waiting=0, stopped=True), 130),
        (Ended(Progress(20, DONE, failed=1), waiting=0, stopped=True), 130),
        (StorageError("storage is away"), 4),
    ],
)
def test_exit_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ended: Ended | StorageError,
    code: int,
) -> None:
    plant(tmp_path, trials=18)

    def drive(*_: Any, **__: Any) -> Ended:
        if isinstance(ended, StorageError):
            raise ended
        return ended

    monkeypatch.setattr(session, "drive", drive)
    monkeypatch.setattr(sys, "argv", ["gradstab", "run", "planted", "--no-report", "--results", str(tmp_path)])
    found = 0
    try:
        main()
    except SystemExit as end:
        found = int(end.code or 0)
    assert found == code
    waits = isinstance(ended, Ended) and ended.waiting > 0
    assert ("5 trials wait: gradstab sync planted --results" in capsys.readouterr().err) == waits
