"""What the study's own run shows, as pure functions: its settings, its progress and the table of all trials."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gradstab.display.numbers import numbers_text, setting_text
from gradstab.record.shipping_order import ShippingOrder
from gradstab.study.axes import Value
from gradstab.tracking.metric_names import MetricNames
from gradstab.tracking.trial_metrics import MetricRow

TABLE_NAME = "trials.json"
TABLES = (TABLE_NAME, "boundary.json", "in_flight.json")
_MUTABLE = ("question", "budget", "resources", "tracking")  # may change between runs of a study; params may not
_MAX_PARAM = 1000
_MAX_TAG = 4000


def parent_params(order: ShippingOrder) -> dict[str, str]:
    """The settings of the study that never change, one param each: ``study.recipe.width``.

    The axis whose choices have views of their own is a param as it is on trials, with all its choices: so the views
    find the study's run, which holds their pictures.
    """
    fixed = {name: value for name, value in order.resolved.items() if name not in _MUTABLE}
    split = order.declaration.space.split()
    choices = {} if split is None else {split[0]: ", ".join(setting_text(choice) for choice in split[1])}
    return choices | {f"study.{name}"[:250]: value[:_MAX_PARAM] for name, value in _flat(fixed)}


def parent_tags(order: ShippingOrder, names: MetricNames) -> dict[str, str]:
    """What identifies the study, how its metrics are named, and with which code it runs."""
    tags = {
        "kind": "study",
        "study": order.study,
        "study_id": order.study_id,
        "fingerprint": order.fingerprint,
        "began_in": order.began_in,
        "question": order.question,
        **names.tags(),
        "budget": str(order.budget),
        "ratio_band": setting_text(order.criterion.ratio_band),
        "git_commit": order.git_commit or "unknown",
        **{f"version.{name}": version for name, version in order.versions.items()},
        **{f"setting.{name}": value for name, value in order.settings.items()},
        "mlflow.source.name": f"gradstab run {order.study}",
        "mlflow.source.type": "LOCAL",
        **({"mlflow.source.git.commit": order.git_commit} if order.git_commit else {}),
        # makes the UI preview the artifacts as tables
        "mlflow.loggedArtifacts": json.dumps([{"path": name, "type": "table"} for name in TABLES]),
    }
    return {name: value[:_MAX_TAG] for name, value in tags.items() if value}


def progress_rows(order: ShippingOrder) -> list[MetricRow]:
    """One metric for each count, over the number of trials done, and what the search's own model says of the region."""
    step = max(order.counts.values(), default=0)
    counts = {**order.counts, "in_flight": len(order.in_flight)}
    rows = [MetricRow(f"trials/{name}", float(count), step) for name, count in sorted(counts.items())]
    if (region := order.region) is not None:
        told = {"region/search_volume": region.volume, "region/search_misclassified": region.misclassified}
        rows += [MetricRow(key, float(f"{value:.6g}"), region.num_trials) for key, value in told.items()]
    return rows


def progress_tags(order: ShippingOrder) -> dict[str, str]:
    """The budget, and the numbers of the trials in flight as ranges."""
    return {"in_flight": (numbers_text(order.in_flight) or "none")[:_MAX_TAG], "budget": str(order.budget)}


def in_flight_table(order: ShippingOrder) -> dict[str, Any]:
    """The numbers of the trials that are running now."""
    return {"columns": ["trial"], "data": [[number] for number in sorted(order.in_flight)]}


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
