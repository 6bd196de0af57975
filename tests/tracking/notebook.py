"""Reading back what MLflow holds, through its own client, and shipping in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.store.entities.paged_list import PagedList

from gradstab.record.shipping_order import load_order
from gradstab.system.child_process import ParentPipe
from gradstab.tracking.segment_shipper import SegmentShipper
from gradstab.tracking.shipping_files import load_state


@dataclass(frozen=True)
class Held:
    """One run with every metric row: (key, step, timestamp, value)."""

    run_id: str
    name: str
    status: str
    times: tuple[int, int | None]
    params: dict[str, str]
    tags: dict[str, str]
    rows: list[tuple[str, int, int, float]]


def ship(folder: Path, patience: float = 4.0) -> int:
    driver = ParentPipe()
    driver.finish(patience)
    return SegmentShipper(folder, driver).run()


def client_of(folder: Path) -> MlflowClient:
    uri = load_order(folder).uri
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def runs_of(folder: Path, kind: str) -> PagedList[Run]:
    experiment_id = load_state(folder).experiment_id
    assert experiment_id is not None
    return client_of(folder).search_runs([experiment_id], f"tags.kind = '{kind}'", max_results=1000)


def parent_of(folder: Path) -> Run:
    (parent,) = runs_of(folder, "study")
    return parent


def trials_of(folder: Path) -> dict[int, Held]:
    """The children by trial number; fails if a number has two runs."""
    client = client_of(folder)
    held: dict[int, Held] = {}
    for run in runs_of(folder, "trial"):
        number = int(run.data.tags["trial"])
        assert number not in held, f"trial {number} has two runs"
        rows = [
            (key, metric.step, metric.timestamp, metric.value)
            for key in sorted(run.data.metrics)
            for metric in client.get_metric_history(run.info.run_id, key)
        ]
        times = (run.info.start_time, run.info.end_time)
        held[number] = Held(
            run.info.run_id, run.info.run_name, run.info.status, times, run.data.params, run.data.tags, sorted(rows)
        )
    return held


def table_of(folder: Path, into: Path) -> dict[str, list[Any]]:
    """The study's table of trials, by column."""
    path = client_of(folder).download_artifacts(parent_of(folder).info.run_id, "trials.json", str(into))
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    return {name: [row[i] for row in content["data"]] for i, name in enumerate(content["columns"])}
