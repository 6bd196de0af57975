"""A results folder with a job."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from gradstab.record.segments import Record, write_segment
from gradstab.record.shipping_order import ShippingOrder, save_order
from gradstab.study.criterion import Criterion
from gradstab.tracking.mlflow_client import prepare_environment
from tests.tracking.orders import study_over

MakeFolder = Callable[..., Path]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
        "MLFLOW_HTTP_REQUEST_TIMEOUT",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT",
        "MLFLOW_DISABLE_TELEMETRY",
    ):
        monkeypatch.setenv(name, "")  # so that what prepare_environment sets is undone
        monkeypatch.delenv(name)
    prepare_environment()


@pytest.fixture
def make_folder(tmp_path: Path, empty_database: Path) -> MakeFolder:
    """Makes a results folder; its job points at a database beside it unless told otherwise."""

    def make(records: Sequence[Sequence[Record]] = (), *, name: str = "results", **job: object) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "study.py").write_text("STUDY = ...\n", encoding="utf-8")
        database = tmp_path / "mlflow.db"
        if not database.exists():
            shutil.copy(empty_database, database)
        given = {
            "study": "depth and scale",
            "study_id": "7f3c0a52-0000-4000-8000-000000000001",
            "uri": f"sqlite:///{database}",
            "artifact_root": str(tmp_path / "artifacts"),
            "question": "Where do gradients survive?",
            "study_file": "study.py",
            "resolved": study_over(seed=7, budget={"trials": 12}).dump(),
            "versions": {"torch": "2.13"},
            "git_commit": "abc1234",
            "criterion": Criterion(),
            "budget": 12,
            "counts": {"done": 12, "stable": 2},
            "in_flight": (12, 13, 14, 20),
            "updated_ms": 1_700_000_100_000,
        }
        save_order(folder, ShippingOrder.model_validate({**given, **job}))
        for index, batch in enumerate(records):
            write_segment(folder, index, batch)
        return folder

    return make
