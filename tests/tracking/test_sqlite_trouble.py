"""MLflow's database in a file: locked, damaged, half made, on a network file system, shared by a group."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy

from gradstab.errors import StorageError
from gradstab.record.shipping_order import save_order
from gradstab.record.study_folder import StudyFolder
from gradstab.system import file_system
from gradstab.system.storage_url import SqliteFile, parse_tracking
from gradstab.tracking import sqlite_trouble
from gradstab.tracking.mlflow_client import prepare_environment
from gradstab.tracking.retry import short_reason
from gradstab.tracking.sqlite_database import make_database
from gradstab.tracking.sqlite_trouble import require_readable
from tests.tracking.orders import order_of, study_over


@pytest.fixture
def tracking(tmp_path: Path, empty_database: Path) -> SqliteFile:
    path = tmp_path / "mlflow.db"
    shutil.copy(empty_database, path)
    return SqliteFile(f"sqlite:///{path}", path)


def mounted(monkeypatch: pytest.MonkeyPatch, place: Path, kind: str) -> None:
    """Make a folder look as if it were on a file system of this kind."""
    table = place / "mounts"
    table.write_text(f"/dev/vda1 / ext4 rw 0 0\nserver:/x {place.resolve()} {kind} rw 0 0\n")
    monkeypatch.setattr(file_system, "_MOUNTS", table)


def test_a_locked_database_is_said_at_once_with_its_file_and_what_to_do(tracking, monkeypatch):
    monkeypatch.setattr(sqlite_trouble, "_LOOK_SECONDS", 0.1)
    with closing(sqlite3.connect(tracking.path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageError, match=r"is locked by another program.*MLFLOW_TRACKING_URI") as raised:
            require_readable(tracking)
    assert str(tracking.path) in str(raised.value)
    assert "\n" not in str(raised.value)
    require_readable(tracking)


def test_a_damaged_database_is_told_from_a_missing_one(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    tracking = parse_tracking(f"sqlite:///{path}")
    require_readable(tracking)
    path.write_text("no database at all, but a text of more than a hundred bytes, which SQLite looks at first " * 3)
    with pytest.raises(StorageError, match=r"is damaged.*gradstab sync"):
        require_readable(tracking)


def test_the_network_file_system_is_named(tracking, tmp_path, monkeypatch):
    error = sqlalchemy.exc.OperationalError("SELECT 1", {}, sqlite3.OperationalError("database is locked"))
    assert "network file system" not in short_reason(error, tracking)
    mounted(monkeypatch, tmp_path, "nfs4")
    assert "network file system nfs4" in short_reason(error, tracking)
    assert "SELECT" not in short_reason(error, tracking)


@pytest.mark.parametrize(("kind", "mode"), [("ext4", "wal"), ("nfs4", "delete")])
def test_a_write_ahead_log_is_kept_on_local_disks_alone(tracking, tmp_path, monkeypatch, kind, mode):
    mounted(monkeypatch, tmp_path, kind)
    prepare_environment()
    engine = sqlalchemy.create_engine(tracking.url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == mode
    engine.dispose()


def half_made(path: Path) -> None:
    """What is left where the making of a database ended within one of MLflow's migrations."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE runs (run_uuid TEXT)")
        database.execute("CREATE TABLE _alembic_tmp_params (key TEXT)")
        database.commit()


def test_a_half_made_database_is_set_aside_and_made_again(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    half_made(path)
    make_database(path, None)
    require_readable(parse_tracking(f"sqlite:///{path}"))
    assert (tmp_path / "mlflow.db.half-made-1").exists()


def test_one_that_holds_runs_is_never_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    half_made(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("INSERT INTO runs VALUES ('a')")
        database.commit()
    make_database(path, None)
    assert [file.name for file in tmp_path.glob("*half-made*")] == []
    with pytest.raises(StorageError, match="half made"):
        require_readable(parse_tracking(f"sqlite:///{path}"))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("umask", "readable"), [(0o002, 0o664), (0o022, 0o644), (0o077, 0o600)])
def test_files_follow_the_umask(tmp_path: Path, umask: int, readable: int) -> None:
    source = tmp_path / "s.yaml"
    source.write_text("name: s")
    source.chmod(0o644)
    before = os.umask(umask)
    try:
        make_database(tmp_path / "mlflow.db", None)
        folder = StudyFolder.of(tmp_path, "s")
        folder.path.mkdir()
        folder.claim(study_over(), source)
    finally:
        os.umask(before)
    for name in ("mlflow.db", "s/study.json", "s/declared.yaml"):
        assert mode(tmp_path / name) == readable, name


def test_a_study_file_that_its_owner_keeps_from_others_stays_so_in_its_copy(tmp_path: Path) -> None:
    source = tmp_path / "s.yaml"
    source.write_text("name: s")
    source.chmod(0o600)
    folder = StudyFolder.of(tmp_path, "s")
    folder.path.mkdir()
    folder.claim(study_over(), source)
    assert mode(folder.path / "declared.yaml") == 0o600


@pytest.mark.parametrize(("uri", "private"), [("http://host:5000", False), ("http://ada:geheim@host:5000", True)])
def test_only_what_holds_a_secret_is_private(tmp_path: Path, uri: str, private: bool) -> None:
    save_order(tmp_path, order_of(uri=uri))
    assert (mode(tmp_path / "tracking.json") == 0o600) == private
