"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from threadpoolctl import threadpool_limits

from gradstab.loop import calibration

settings.register_profile("tests", deadline=None)  # an example may take its time on a busy machine
settings.load_profile("tests")
LONG = ("endtoend", "tracking", "watching", "report")  # whose tests start whole programs


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around pytest-xdist, which reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Long tests come first, so that none runs alone at the end.

    Tests that share what is made once a module or class go to one worker, or every worker would make it.
    """
    items.sort(key=lambda item: item.path.parent.name not in LONG)
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("xdist_group") is None:
            scopes = {made.scope for found in item._fixtureinfo.name2fixturedefs.values() for made in found}
            if "module" in scopes:
                item.add_marker(pytest.mark.xdist_group(item.module.__name__))
            elif "class" in scopes and item.cls is not None:
                item.add_marker(pytest.mark.xdist_group(item.cls.__name__))
    yield
    if config.getoption("loadgroup", default=False):
        for item in items:
            name_group(item)


def name_group(item: pytest.Item) -> None:
    """Put a test's group behind its name, where the scheduler of pytest-xdist looks for it.

    Version 3.8 does so itself, but in a place where pytest 9.2 does not look any more, and the groups have no effect.
    """
    group = item.get_closest_marker("xdist_group")
    if group is not None and not item.nodeid.endswith(suffix := f"@{group.args[0]}"):
        item._id = type(item._id).parse(item.nodeid + suffix)
        assert item.nodeid.endswith(suffix), "pytest must show the group to pytest-xdist"


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
    """An MLflow database without runs; its migrations take seconds, so it is made once for all workers and copied."""
    from gradstab.tracking.sqlite_database import make_database

    root = tmp_path_factory.getbasetemp()
    path = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "mlflow" / "empty.db"
    path.parent.mkdir(exist_ok=True)
    with path.with_name("lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            broken = b"a process killed among the migrations leaves a broken file"
            path.with_name(".empty.db.partial").write_bytes(broken)
            make_database(path, None)
    return path


@pytest.fixture(scope="session")
def mlflow_root(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """A folder with the store, `mlflow.db`, that `mlflow_ui` serves."""
    root = tmp_path_factory.mktemp("served")
    shutil.copy(empty_database, root / "mlflow.db")
    return root


@pytest.fixture(scope="session")
def mlflow_ui(mlflow_root: Path) -> Iterator[str]:
    """The address of an MLflow server, as `gradstab ui` starts it; its start takes seconds of a core."""
    from gradstab.system.storage_url import parse_tracking
    from gradstab.tracking.links import ui_command, ui_environment
    from tests.tracking.lossy_proxy import free_port
    from tests.tracking.mlflow_server import await_server

    port, store = free_port(), parse_tracking(f"sqlite:///{mlflow_root / 'mlflow.db'}")
    with (mlflow_root / "server.log").open("wb") as log:
        command = ui_command(mlflow_root / "artifacts", port)
        server = subprocess.Popen(command, env={**os.environ, **ui_environment(store)}, stdout=log, stderr=log)
    try:
        await_server(port, 150)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without pictures, which take most of the time, for tests that do not look at them."""
    from gradstab.report import report

    monkeypatch.setattr(report, "all_pictures", lambda _: [])
    monkeypatch.setattr(report, "wide_maps", lambda _: [])


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
