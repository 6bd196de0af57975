"""The MLflow run of a training that is watched: filled by a thread of its own, which the training never waits for."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import requests

from gradstab.system.storage_url import MlflowServer, parse_tracking, without_password
from gradstab.tracking.mlflow_store import MlflowStore, RefusedError
from gradstab.tracking.retry import short_reason
from gradstab.tracking.trial_metrics import MetricRow
from gradstab.tracking.watched_views import watched_view_tags

MARK = "gradstab"  # tag of a run that holds readings
OPEN_S = 60.0  # the longest wait for MLflow, at the start
CLOSE_S = 30.0  # and at the end
_ANSWER_S = 5.0  # in which a server must answer at all
_SEND_EVERY_S = 2.0  # MLflow's own code takes 12 ms of this process to store a reading
_RETRY_EVERY_S = 10.0
_OURS = "watch"

Task = Callable[[MlflowStore, str], None]


@dataclass(frozen=True)
class Destination:
    """Where a watch is logged.

    Attributes:
        uri: of the tracking store.
        run_id: of the user's active run, or None where a run is to be made.
        experiment: id or name of the experiment in which it is made.
        name: of the run to be made.
        parent_run_id: the user's active run, under which it is made.
    """

    uri: str
    run_id: str | None
    experiment: str
    name: str
    parent_run_id: str | None


def destination(run: str | None) -> Destination | None:
    """The user's active run, or one of that name; None where there is neither, and nothing is logged."""
    given = os.environ.get("MLFLOW_RUN_ID")
    if run is None and "mlflow" not in sys.modules and not given:
        return None
    import mlflow

    active = mlflow.active_run()
    active_id = given if active is None else active.info.run_id
    if run is None and active_id is None:
        return None
    experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or os.environ.get("MLFLOW_EXPERIMENT_ID") or "0"
    if active is not None:
        experiment = active.info.experiment_id
    uri = mlflow.get_tracking_uri()
    return Destination(uri, None if run else active_id, experiment, run or "", active_id if run else None)


class WatchedRun:
    """One run, from `open` to `close`. No method raises; what goes wrong is told as one sentence.

    Attributes:
        run_id: once it is open.
    """

    def __init__(self, to: Destination, tags: Mapping[str, str]) -> None:
        self._to, self._tags = to, dict(tags)
        self.run_id = to.run_id
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._rows: queue.SimpleQueue[tuple[list[MetricRow], int]] = queue.SimpleQueue()
        self._opened, self._closing = threading.Event(), threading.Event()
        self._problem: str | None = None
        self._fresh = False  # whether the problem was not told yet
        self._held: dict[str, str] = {}
        self._thread = threading.Thread(target=self._run, name="gradstab-watch", daemon=True)

    def open(self) -> str | None:
        """Find or make the run; a sentence where MLflow does not answer."""
        self._thread.start()
        if not self._opened.wait(OPEN_S):
            return f"MLflow at {without_password(self._to.uri)} did not answer within {OPEN_S:.0f} s"
        return self.problem()

    def send(self, rows: Iterable[MetricRow]) -> None:
        """Log metrics of this moment."""
        self._rows.put((list(rows), time.time_ns() // 1_000_000))

    def do(self, task: Task) -> None:
        """Do something with the store and the run's id, after what was sent before."""
        self._tasks.put(task)

    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags, but for those that the user's run has of its own."""

        def write(store: MlflowStore, run_id: str) -> None:
            store.tag_run(run_id, {name: value for name, value in tags.items() if self._is_ours(name)})

        self.do(write)

    def close(self, status: str) -> str | None:
        """Log what is left, and end a run of our own; a sentence where something could not be logged."""
        if self._to.run_id is None:
            self.do(lambda store, run_id: store.set_status(run_id, status, time.time_ns() // 1_000_000))
        self._closing.set()
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            return f"MLflow at {without_password(self._to.uri)} did not take all readings within {CLOSE_S:.0f} s"
        return self.problem()

    def problem(self) -> str | None:
        """What went wrong since the last call."""
        fresh, self._fresh = self._fresh, False
        return self._problem if fresh else None

    def _is_ours(self, name: str) -> bool:
        return self._to.run_id is None or self._held.get(MARK) == _OURS or name not in self._held

    def _run(self) -> None:
        """The thread: open, send what came, and end when that is asked for and all is sent."""
        store = self._open()
        self._opened.set()
        if store is None:
            return
        pending: list[Task] = []
        while True:
            ending = self._closing.wait(_SEND_EVERY_S)
            pending += self._come()
            try:
                while pending:
                    pending[0](store, self.run_id or "")
                    del pending[0]
            except RefusedError as error:  # which another attempt would not change
                self._tell(error)
                del pending[0]
            except Exception as error:
                self._tell(error)
                if not ending:
                    self._closing.wait(_RETRY_EVERY_S)
                    continue
            if ending and (not pending or self._problem):
                return

    def _open(self) -> MlflowStore | None:
        try:
            tracking = parse_tracking(self._to.uri)
            if isinstance(tracking, MlflowServer):
                requests.get(f"{tracking.url.rstrip('/')}/health", timeout=_ANSWER_S)
            store = MlflowStore(tracking)
            if self.run_id is None:
                experiment_id = store.named_experiment(self._to.experiment)
                parent = {} if self._to.parent_run_id is None else {"mlflow.parentRunId": self._to.parent_run_id}
                self.run_id = store.create_run(experiment_id, self._to.name, {MARK: _OURS, **self._tags, **parent})
            else:
                found = store.run(self.run_id)
                experiment_id, self._held = found.info.experiment_id, dict(found.data.tags)
                tags = {MARK: _OURS, **{name: value for name, value in self._tags.items() if self._is_ours(name)}}
                store.tag_run(self.run_id, tags)
            for name, value in watched_view_tags().items():
                store.tag_experiment(experiment_id, name, value)
        except Exception as error:
            self._tell(error)
            return None
        return store

    def _come(self) -> list[Task]:
        """What was handed over, all metrics in as few requests as MLflow takes."""
        rows: dict[int, list[MetricRow]] = {}
        while not self._rows.empty():
            found, at_ms = self._rows.get()
            rows.setdefault(at_ms, []).extend(found)
        tasks: list[Task] = [_logged(rows)] if rows else []
        while not self._tasks.empty():
            tasks.append(self._tasks.get())
        return tasks

    def _tell(self, error: Exception) -> None:
        sentence = short_reason(error)
        self._fresh |= sentence != self._problem
        self._problem = sentence


def _logged(rows: Mapping[int, list[MetricRow]]) -> Task:
    def write(store: MlflowStore, run_id: str) -> None:
        store.log_readings(run_id, [(row, at_ms) for at_ms, found in rows.items() for row in found])

    return write
