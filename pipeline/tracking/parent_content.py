"""What the study's own run shows: settings, progress and the table of all trials, as pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipeline.space import Value
from pipeline.tracking.run_content import MetricRow, shown
from pipeline.tracking_job import TrackingJob

TABLE_NAME = "trials.json"
_MUTABLE = ("question", "budget", "resources", "tracking")  # may change between runs of a study; params may not
_MAX_PARAM = 1000
_MAX_TAG = 4000


def parent_params(job: TrackingJob) -> dict[str, str]:
    """The settings of the study that never change, flat: ``study.recipe.width``."""
    fixed = {name: value for name, value in job.resolved.items() if name not in _MUTABLE}
    return {f"study.{name}"[:250]: value[:_MAX_PARAM] for name, value in _flat(fixed)}


def parent_tags(job: TrackingJob) -> dict[str, str]:
    """What identifies the study and says with which code it runs."""
    tags = {
        "kind": "study",
        "study": job.study,
        "study_id": job.study_id,
        "question": job.question,
        "budget": str(job.budget),
        "ratio_band": shown(job.criterion.ratio_band),
        "git_commit": job.git_commit or "unknown",
        **{f"version.{name}": version for name, version in job.versions.items()},
        **{f"setting.{name}": value for name, value in job.settings.items()},
        "mlflow.note.content": _note(job),
        # makes the UI preview the artifact as a table
        "mlflow.loggedArtifacts": f'[{{"path": "{TABLE_NAME}", "type": "table"}}]',
    }
    return {name: value[:_MAX_TAG] for name, value in tags.items() if value}


def progress_rows(job: TrackingJob) -> list[MetricRow]:
    """One metric a count, over the number of trials done."""
    step = max(job.counts.values(), default=0)
    return [MetricRow(f"trials/{name}", float(count), step) for name, count in sorted(job.counts.items())]


def progress_tags(job: TrackingJob) -> dict[str, str]:
    """Trials in flight, as ranges."""
    return {"in_flight": (_ranges(job.in_flight) or "none")[:_MAX_TAG], "budget": str(job.budget)}


def table(rows: Iterable[Mapping[str, Value | None]]) -> dict[str, Any]:
    """Rows in ascending trial number, in the split form that MLflow previews as a table."""
    ordered = sorted(rows, key=lambda row: int(row["trial"] or 0))
    columns = list(dict.fromkeys(name for row in ordered for name in row))
    return {"columns": columns, "data": [[row.get(name) for name in columns] for row in ordered]}


def _note(job: TrackingJob) -> str:
    """Four lines are seen before a note folds: the question first."""
    lines = [
        job.question or f"Study {job.study}.",
        "",
        f"All trials: artifact `{TABLE_NAME}`. The study: `study/{job.study_file}`. Raw results: `segments/`.",
        "",
        "Depth profiles (`profile_init/...`, `profile_end/...`): x is the layer, 1 next to the input.",
        "Series (`series/...`): x is the optimizer step.",
    ]
    return "\n".join(lines)


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{prefix}.{name}" if prefix else str(name))
    elif value is not None:
        yield prefix, shown(value)


def _ranges(numbers: Iterable[int]) -> str:
    """ "3, 7-9" for 3, 7, 8, 9."""
    spans: list[list[int]] = []
    for number in sorted(set(numbers)):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)
