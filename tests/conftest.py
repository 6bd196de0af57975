"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from gradstab.loop import calibration


@pytest.fixture(scope="session", autouse=True)
def single_threaded_blas() -> Iterator[None]:
    """Linear algebra on one thread: there is a worker of pytest on each core, and waiting threads spin."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session", autouse=True)
def own_calibration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The machine's own must neither size the tests' packs nor learn from fakes how fast it is."""
    path = tmp_path_factory.mktemp("calibration") / "calibration.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "calibration_path", lambda: path)
        yield


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs; its migrations take seconds, so it is made once and copied."""
    from gradstab.tracking.sqlite_database import make_database

    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    path.with_name(".empty.db.partial").write_bytes(b"a process killed among the migrations leaves a broken file")
    make_database(path, None)
    return path


@pytest.fixture(autouse=True)
def denormal_numbers() -> Iterator[None]:
    """Training in this process flushes denormal numbers to zero, which strategies of hypothesis refuse."""
    yield
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_flush_denormal(False)


@pytest.fixture
def trains_here() -> Iterator[None]:
    """Training sets torch up for one slot of a worker process; other tests of this process want it as it was."""
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_flush_denormal(False)
    torch.set_num_threads(threads)
