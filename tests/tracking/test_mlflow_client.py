"""Paging through MLflow, on a real database."""

from __future__ import annotations

import shutil
from pathlib import Path

from mlflow.entities import Experiment
from mlflow.store.entities import PagedList

from gradstab.system.storage_url import parse_tracking
from gradstab.tracking.mlflow_client import all_pages, open_client


def test_every_page_is_read_once_and_in_order(empty_database: Path, tmp_path: Path) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    client = open_client(parse_tracking(f"sqlite:///{tmp_path / 'mlflow.db'}"))
    names = [f"study-{number}" for number in range(5)]
    for name in names:
        client.create_experiment(name, artifact_location=str(tmp_path / name))
    asked: list[str | None] = []

    def search(token: str | None, which: str = "name LIKE 'study-%'") -> PagedList[Experiment]:
        asked.append(token)
        return client.search_experiments(max_results=2, filter_string=which, order_by=["name"], page_token=token)

    assert [found.name for found in all_pages(search)] == names
    assert asked[0] is None
    assert len(set(asked)) == len(asked) == 3
    assert list(all_pages(lambda token: search(token, "name LIKE 'other%'"))) == []
