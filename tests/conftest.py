"""Fixtures that several rooms' tests share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs; its migrations take seconds, so it is made once and copied."""
    from pipeline.tracking.sqlite_database import make_database

    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    path.with_name(".empty.db.partial").write_bytes(b"a process killed among the migrations leaves a broken file")
    make_database(path, None)
    return path
