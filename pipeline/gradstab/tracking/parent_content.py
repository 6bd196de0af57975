"""What the study's own run shows: settings, progress and the table of all trials, as pure functions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gradstab.display.numbers import numbers_text, setting_text
from gradstab.record.shipping_order import ShippingOrder
from gradstab.study.space import Value
from gradstab.tracking.run_content import MetricRow

TABLE_NAME = "trials.json"
TABLES = (TABLE_NAME, "boundary.json", "in_flight.json")
_MUTABLE = ("question", "budget", "resources", "tracking")  # may change between runs of a study; params may not
_MAX_PARAM = 1000
_MAX_TAG = 4000


def parent_params(job: ShippingOrder) -> dict[str, str]:
    """The settings of the study that never change, flat: ``study.recipe.width``."""
    fixed = {name: value for name, value in job.resolved.items() if name not in _MUTABLE}
    return {f"study.{name}"[:250]: value[:_MAX_PARAM] for name, value in _flat(fixed)}


def parent_tags(job: ShippingOrder) -> dict[str, str]:
    """What identifies the study and says with which code it runs."""
    tags = {
        "kind": "study",
        "study": job.study,
        "study_id": job.study_id,
        "fingerprint": job.fingerprint,
        "began_in": job.began_in,
        "question": job.question,
        "budget": str(job.budget),
        "ratio_band": setting_text(job.criterion.ratio_band),
        "git_commit": job.git_commit or "unknown",
        **{f"version.{name}": version for name, version in job.versions.items()},
        **{f"setting.{name}": value for name, value in job.settings.items()},
        "mlflow.source.name": f"gradstab run {job.study}",
        "mlflow.source.type": "LOCAL",
        **({"mlflow.source.git.commit": job.git_commit} if job.git_commit else {}),
        # makes the UI preview the artifacts as tables
        "mlflow.loggedArtifacts": json.dumps([{"path": name, "type": "table"} for name in TABLES]),
    }
    return {name: value[:_MAX_TAG] for name, value in tags.items() if value}


def progress_rows(job: ShippingOrder) -> list[MetricRow]:
    """One metric a count, over the number of trials done."""
    step = max(job.counts.values(), default=0)
    counts = {**job.counts, "in_flight": len(job.in_flight)}
    return [MetricRow(f"trials/{name}", float(count), step) for name, count in sorted(counts.items())]


def progress_tags(job: ShippingOrder) -> dict[str, str]:
    """Trials in flight, as ranges."""
    return {"in_flight": (numbers_text(job.in_flight) or "none")[:_MAX_TAG], "budget": str(job.budget)}


def in_flight_table(job: ShippingOrder) -> dict[str, Any]:
    """The numbers of the trials that are running now."""
    return {"columns": ["trial"], "data": [[number] for number in sorted(job.in_flight)]}


def table(rows: Iterable[Mapping[str, Value | None]]) -> dict[str, Any]:
    """Rows in ascending trial number, in the split form that MLflow previews as a table."""
    ordered = sorted(rows, key=lambda row: int(row["trial"] or 0))
    columns = list(dict.fromkeys(name for row in ordered for name in row))
    return {"columns": columns, "data": [[row.get(name) for name in columns] for row in ordered]}


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{prefix}.{name}" if prefix else str(name))
    elif value is not None:
        yield prefix, setting_text(value)
