"""The shipper's calls to MLflow. Each is safe to make again: it finds or creates by tag, with recorded time stamps.

Every call is synchronous and made once. The caller decides whether to try again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, Experiment, InputTag, Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_IMAGES, MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE
from PIL import Image

from gradstab.system.failpoints import failpoint
from gradstab.system.storage_url import SqliteFile, Tracking
from gradstab.tracking.direct_rows import DirectRows
from gradstab.tracking.metric_names import MetricNames
from gradstab.tracking.mlflow_client import all_pages, open_client
from gradstab.tracking.pictures import image_path
from gradstab.tracking.run_content import RunContent
from gradstab.tracking.sqlite_database import make_database, sync_database
from gradstab.tracking.sqlite_trouble import require_readable
from gradstab.tracking.trial_metrics import MetricRow
from gradstab.tracking.trial_note import with_ids
from gradstab.tracking.trial_picture import FILE_NAME

MAX_METRICS = 1000  # in one request of log_batch, which also takes at most 100 params and 100 tags
MAX_PARAMS = 100
_PAGE = 500


class RefusedError(Exception):
    """MLflow answered that it will never take this: the run was deleted, or holds something that contradicts it."""


@dataclass(frozen=True)
class Child:
    """A trial's run as MLflow holds it."""

    run_id: str
    parent_run_id: str
    complete: bool


class MlflowStore:
    """One tracking store. Methods raise RefusedError, or an error of `mlflow_client.UNREACHABLE`.

    Raises:
        StorageError: from the constructor, where a database in a file cannot be read.
    """

    def __init__(self, tracking: Tracking, artifact_root: str | None = None) -> None:
        self._database = tracking.path if isinstance(tracking, SqliteFile) else None
        if self._database is not None:
            make_database(self._database, artifact_root)
            require_readable(tracking)  # MLflow itself would try for minutes before it says why not
        self._client = open_client(tracking)
        self._direct = None if self._database is None else DirectRows.of(self._database)

    def sync(self) -> None:
        """Wait until what was stored would survive a power cut. A server's database does that by itself."""
        if self._database is not None:
            sync_database(self._database)

    def experiment(self, name: str, study_id: str, artifact_root: str | None) -> Experiment:
        """Find the study's experiment by its tag, or create it, under a longer name if another study has the name."""
        found = self._client.search_experiments(
            view_type=ViewType.ACTIVE_ONLY, filter_string=f"tags.study_id = '{study_id}'"
        )
        if found:
            return min(found, key=lambda experiment: int(experiment.experiment_id))
        for free in _names(name, study_id):
            if self._client.get_experiment_by_name(free) is None:
                break
        location = (
            None
            if artifact_root is None
            else (Path(artifact_root).resolve() / free.strip("/").replace("/", "-")).as_uri()
        )
        # without this kind, the UI shows its view for language models
        tags = {"study_id": study_id, "mlflow.experimentKind": "custom_model_development", **MetricNames().tags()}
        return self._client.get_experiment(self._client.create_experiment(free, location, tags))

    def parent(self, experiment_id: str, name: str, tags: Mapping[str, str], known: str) -> Run:
        """Find or create the study's run: the known one if it still exists, else the first one. Others are deleted."""
        runs = list(self._search(experiment_id, "tags.kind = 'study'"))
        if not runs:
            return self._client.create_run(experiment_id, tags=dict(tags), run_name=name)
        chosen = min(runs, key=lambda run: (run.info.run_id != known, run.info.start_time, run.info.run_id))
        for run in runs:
            if run is not chosen:
                self._client.delete_run(run.info.run_id)
        return chosen

    def children(self, experiment_id: str, number: int | None = None) -> dict[int, Child]:
        """Find the runs of all trials or of one, by number. If a number has several runs, all but one are deleted."""
        which = "tags.kind = 'trial'" + ("" if number is None else f" AND tags.trial = '{number}'")
        kept: dict[int, Child] = {}
        doubles: list[str] = []
        for run in self._search(experiment_id, which):
            trial, child = int(run.data.tags["trial"]), _child(run)
            if trial in kept:
                # the complete one stays
                child, double = sorted((child, kept[trial]), key=lambda held: (not held.complete, held.run_id))
                doubles.append(double.run_id)
            kept[trial] = child
        for run_id in doubles:  # not during the search, because a deletion moves its pages
            self._client.delete_run(run_id)
        return kept

    def reparent(self, run_ids: Iterable[str], parent_run_id: str) -> None:
        """Move runs of trials to another parent."""
        for run_id in run_ids:
            self._client.set_tag(run_id, MLFLOW_PARENT_RUN_ID, parent_run_id)

    def add_child(self, experiment_id: str, parent_run_id: str, content: RunContent) -> str:
        """Create, fill and end a run, and return its id: at once where the store is a file of a known schema."""
        run_id = self._direct.add(experiment_id, parent_run_id, content) if self._direct is not None else None
        if run_id is None:
            run_id = self.create_child(experiment_id, parent_run_id, content)
            self.fill_child(experiment_id, run_id, content)
        return run_id

    def create_run(self, experiment_id: str, name: str, tags: Mapping[str, str]) -> str:
        """Create a run that is going on, and return its id."""
        return str(_call(self._client.create_run, experiment_id, None, dict(tags), name).info.run_id)

    def run(self, run_id: str) -> Run:
        """A run as MLflow holds it."""
        found: Run = _call(self._client.get_run, run_id)
        return found

    def create_child(self, experiment_id: str, parent_run_id: str, content: RunContent) -> str:
        """Create a run with all its tags but the note, and return its id."""
        tags = {**content.tags, MLFLOW_PARENT_RUN_ID: parent_run_id}
        run = _call(self._client.create_run, experiment_id, content.started_ms, tags, content.name)
        failpoint("create_run")
        return str(run.info.run_id)

    def fill_child(self, experiment_id: str, run_id: str, content: RunContent) -> None:
        """Write the picture, params, metrics and note of a trial's run, then end it. Doing it again changes nothing."""
        if content.picture is not None:
            _call(self._client.log_text, run_id, content.picture, FILE_NAME)
        params = [Param(key, value) for key, value in content.params.items()]
        note = [RunTag(MLFLOW_RUN_NOTE, with_ids(content.note, experiment_id, run_id))]
        metrics = [Metric(row.key, row.value, content.finished_ms, row.step) for row in content.metrics]
        for start in range(0, max(1, len(metrics)), MAX_METRICS):
            some, others = metrics[start : start + MAX_METRICS], (params, note) if start == 0 else ()
            _call(self._client.log_batch, run_id, some, *others)
            failpoint("log_batch")
        _call(self._client.set_terminated, run_id, content.status, content.finished_ms)
        failpoint("set_terminated")

    def delete_run(self, run_id: str) -> None:
        self._client.delete_run(run_id)

    def describe(self, run_id: str, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Write the params that a run does not have yet (params cannot be changed), and its tags (which can)."""
        held = _call(self._client.get_run, run_id).data.params
        missing = [Param(key, value) for key, value in params.items() if key not in held]
        for start in range(0, max(1, len(missing)), MAX_PARAMS):
            _call(self._client.log_batch, run_id, (), missing[start : start + MAX_PARAMS])
        _call(self._client.log_batch, run_id, (), (), [RunTag(key, value) for key, value in tags.items()])

    def log_progress(self, run_id: str, rows: Iterable[MetricRow], at_ms: int, tags: Mapping[str, str]) -> None:
        """Write metrics of one moment, and tags."""
        metrics = [Metric(row.key, row.value, at_ms, row.step) for row in rows]
        _call(self._client.log_batch, run_id, metrics, (), [RunTag(key, value) for key, value in tags.items()])

    def log_readings(self, run_id: str, rows: Sequence[tuple[MetricRow, int]]) -> None:
        """Write metrics, each with its moment, in as few requests as there can be."""
        metrics = [Metric(row.key, row.value, at_ms, row.step) for row, at_ms in rows]
        for start in range(0, len(metrics), MAX_METRICS):
            _call(self._client.log_batch, run_id, metrics[start : start + MAX_METRICS])

    def named_experiment(self, experiment: str) -> str:
        """Id of the experiment of this id or name, which is made where it does not exist."""
        if experiment.isdecimal():
            return experiment
        found = self._client.get_experiment_by_name(experiment)
        return str(self._client.create_experiment(experiment) if found is None else found.experiment_id)

    def tag_experiment(self, experiment_id: str, name: str, value: str) -> None:
        self._client.set_experiment_tag(experiment_id, name, value)

    def log_dataset(self, run_id: str, name: str, spec: Mapping[str, Any]) -> None:
        """Log the data set of a study as an input of its run."""
        source = json.dumps(spec, sort_keys=True)
        digest = hashlib.sha256(source.encode()).hexdigest()[:8]
        data = Dataset(str(spec.get("type", name)), digest, "code", source)
        tags = [InputTag("mlflow.data.context", "training")]
        _call(self._client.log_inputs, run_id, [DatasetInput(data, tags)])

    def log_file(self, run_id: str, path: Path, folder: str | None) -> None:
        """Upload a file as an artifact, in place of an older one of its name."""
        _call(self._client.log_artifact, run_id, str(path), folder)
        failpoint("log_artifact")

    def log_image(self, run_id: str, key: str, path: Path, *, fills: bool = False) -> None:
        """Upload a PNG under a key, as MLflow's own log_image stores it, in place of an older one of that key.

        Args:
            fills: whether charts show it from their upper edge on: they centre a picture in a square.
        """
        name = Path(image_path(key, path.stem)).stem
        with tempfile.TemporaryDirectory() as folder:
            image, small = Path(folder) / f"{name}.png", Path(folder) / f"{name}+compressed.webp"
            shutil.copyfile(path, image)
            shown = Image.open(path).convert("RGB")
            if fills and shown.height < shown.width:
                square = Image.new("RGB", (shown.width, shown.width), "white")
                square.paste(shown)
                shown = square
            shown.save(small, quality=90, method=0)  # half the time, an eighth more bytes
            self.log_file(run_id, image, "images")
            self.log_file(run_id, small, "images")
        _call(self._client.set_tag, run_id, MLFLOW_LOGGED_IMAGES, "True")

    def note(self, run_id: str) -> str:
        """The note of a run."""
        return str(_call(self._client.get_run, run_id).data.tags.get(MLFLOW_RUN_NOTE, ""))

    def tag_run(self, run_id: str, tags: Mapping[str, str]) -> None:
        _call(self._client.log_batch, run_id, (), (), [RunTag(key, value) for key, value in tags.items()])

    def numbers(self, experiment_id: str, which: str) -> set[int]:
        """Numbers of the trials whose run fits a filter."""
        return {int(run.data.tags["trial"]) for run in self._search(experiment_id, which)}

    def log_json(self, run_id: str, content: Any, name: str) -> None:
        """Upload a JSON document as an artifact, in place of an older one of its name."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
            self.log_file(run_id, path, None)

    def set_status(self, run_id: str, status: str, end_ms: int | None) -> None:
        """Set a run's status: RUNNING without an end, or a final status with one."""
        if end_ms is None:
            _call(self._client.update_run, run_id, status)
        else:
            _call(self._client.set_terminated, run_id, status, end_ms)

    def _search(self, experiment_id: str, which: str) -> Iterator[Run]:
        return all_pages(
            lambda token: self._client.search_runs([experiment_id], which, max_results=_PAGE, page_token=token)
        )


def _names(name: str, study_id: str) -> Iterator[str]:
    """Names to try for an experiment: the study's own, then names with its id."""
    yield name
    yield f"{name}-{study_id[:8]}"
    count = 2
    while True:
        yield f"{name}-{study_id[:8]}-{count}"
        count += 1


def _child(run: Run) -> Child:
    complete = run.info.status in {"FINISHED", "FAILED"}
    return Child(run.info.run_id, run.data.tags.get(MLFLOW_PARENT_RUN_ID, ""), complete)


def _call(method: Any, *arguments: Any) -> Any:
    """Make a call on a run. If MLflow says that it will never take it, raise RefusedError."""
    try:
        return method(*arguments)
    except MlflowException as error:
        if error.error_code in {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"}:
            raise RefusedError(str(error)) from error
        raise
