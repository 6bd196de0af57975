"""Runs written as rows are the runs that MLflow's own store writes, table by table; what is unusual is left to it."""

from __future__ import annotations

import math
import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException

from gradstab.system.storage_url import SqliteFile
from gradstab.tracking import direct_rows
from gradstab.tracking.direct_rows import KNOWN_REVISIONS, DirectRows
from gradstab.tracking.mlflow_store import MlflowStore
from gradstab.tracking.run_content import RunContent
from gradstab.tracking.trial_metrics import MetricRow

PLAIN = RunContent(
    number=3,
    name="0003 L8 stable",
    params={"depth": "8", "activation": "tanh"},
    tags={"kind": "trial", "trial": "3"},
    note="a note on {run} of {experiment}",
    picture="<svg/>",
    metrics=[MetricRow("loss", 1.5, 0), MetricRow("loss", 0.5, 10), MetricRow("gradient_ratio", -0.2, 10)],
    started_ms=1_700_000_000_000,
    finished_ms=1_700_000_001_000,
    status="FINISHED",
)


def opened(database: Path) -> tuple[MlflowStore, str]:
    store = MlflowStore(SqliteFile(f"sqlite:///{database}", database))
    return store, store.experiment("study", "some-id", str(database.parent / "artifacts")).experiment_id


def tables(database: Path) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables; ids of runs, which are random, are replaced by the run's trial."""
    with closing(sqlite3.connect(database)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        trials = dict(connection.execute("SELECT run_uuid, value FROM tags WHERE key = 'trial'").fetchall())

        def plain(value: object) -> object:
            for run_id, trial in trials.items():
                value = value.replace(run_id, f"run {trial}") if isinstance(value, str) else value
            return value

        found = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in names}
    return {name: sorted((tuple(map(plain, row)) for row in rows), key=repr) for name, rows in found.items()}


def both_ways(folder: Path, empty: Path, contents: list[RunContent]) -> tuple[Path, Path]:
    """Two databases with these runs: by rows, and by calls of MLflow."""
    folder = Path(tempfile.mkdtemp(dir=folder))  # MLflow keeps connections by path
    started = folder / "started.db"
    shutil.copy(empty, started)
    opened(started)
    with closing(sqlite3.connect(started)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    by_rows, by_calls = folder / "rows.db", folder / "calls.db"
    for database in (by_rows, by_calls):
        shutil.copy(started, database)
        store, experiment_id = opened(database)
        for content in contents:
            if database is by_rows:
                direct = DirectRows.of(database)
                assert direct is not None
                assert direct.add(experiment_id, "parent", content) is not None
            else:
                run_id = store.create_child(experiment_id, "parent", content)
                store.fill_child(experiment_id, run_id, content)
    return by_rows, by_calls


def test_all_tables_are_equal(tmp_path: Path, empty_database: Path) -> None:
    strange = [
        MetricRow(key, value, step)
        for key in ("a", "b")
        for step, value in ((0, math.nan), (5, math.inf), (5, 1.0), (3, -math.inf), (5, 1.0), (-2, 1e-300))
    ]
    contents = [
        PLAIN,
        replace(PLAIN, number=4, tags={**PLAIN.tags, "trial": "4"}, metrics=strange, status="FAILED"),
        replace(PLAIN, number=5, tags={**PLAIN.tags, "trial": "5"}, metrics=[], params={}),
        replace(PLAIN, number=6, tags={**PLAIN.tags, "trial": "6", "verdict": "\u00fc \U0001f600 'quoted' \n"}),
    ]
    by_rows, by_calls = both_ways(tmp_path, empty_database, contents)
    found, expected = tables(by_rows), tables(by_calls)
    assert expected.keys() == found.keys()
    assert sum(map(len, expected.values())) > 40
    for name, rows in expected.items():
        assert found[name] == rows, name


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.floats(allow_nan=True, allow_infinity=True), st.integers(-3, 3)),
        max_size=25,
    )
)
def test_the_latest_value_of_any_metrics_is_the_one_that_mlflow_takes(
    tmp_path: Path, empty_database: Path, rows: list[tuple[str, float, int]]
) -> None:
    content = replace(PLAIN, metrics=[MetricRow(*row) for row in rows])
    by_rows, by_calls = both_ways(tmp_path, empty_database, [content])
    assert tables(by_rows) == tables(by_calls)


def test_a_database_of_another_revision_or_none_is_left_to_mlflow(tmp_path: Path, empty_database: Path) -> None:
    database = tmp_path / "mlflow.db"
    shutil.copy(empty_database, database)
    assert DirectRows.of(database) is not None
    with closing(sqlite3.connect(database)) as connection, connection:
        (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        assert revision in KNOWN_REVISIONS
        connection.execute("UPDATE alembic_version SET version_num = '000000000000'")
    assert DirectRows.of(database) is None
    assert DirectRows.of(tmp_path / "nothing" / "mlflow.db") is None
    (tmp_path / "text.db").write_text("no database at all, but a text that is long enough")
    assert DirectRows.of(tmp_path / "text.db") is None


def test_what_is_unusual_is_left_to_mlflow(tmp_path: Path, empty_database: Path) -> None:
    database = tmp_path / "mlflow.db"
    shutil.copy(empty_database, database)
    store, experiment_id = opened(database)
    direct = DirectRows(database)
    before = tables(database)
    for content in (
        replace(PLAIN, params={"depth": "8" * 6001}),
        replace(PLAIN, tags={**PLAIN.tags, "long": "x" * 8001}),
        replace(PLAIN, metrics=[MetricRow("k" * 251, 1.0, 0)]),
        replace(PLAIN, name=""),
    ):
        assert direct.add(experiment_id, "parent", content) is None
    store._client.delete_experiment(experiment_id)
    assert direct.add(experiment_id, "parent", PLAIN) is None
    assert direct.add("99", "parent", PLAIN) is None
    assert tables(database)["runs"] == before["runs"] == []


def test_a_file_that_another_process_holds_is_an_error_to_try_again(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_rows, "_BUSY_SECONDS", 0.05)
    database = tmp_path / "mlflow.db"
    shutil.copy(empty_database, database)
    _, experiment_id = opened(database)
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(MlflowException, match="locked"):
            DirectRows(database).add(experiment_id, "parent", PLAIN)
        other.execute("ROLLBACK")
    assert DirectRows(database).add(experiment_id, "parent", PLAIN) is not None
    assert len(tables(database)["runs"]) == 1
