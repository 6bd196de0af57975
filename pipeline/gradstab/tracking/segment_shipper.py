"""Sends the segments of a results folder to MLflow, moves a cursor, and deletes nothing.

Every trial is found or created by its number and filled with recorded time stamps, and the cursor moves only when a
whole segment is in MLflow. So it does no harm if the process dies anywhere, or if something is sent twice.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gradstab.errors import StorageError
from gradstab.record.segments import CorruptSegmentError, Record, read_segment, segment_numbers, segment_paths
from gradstab.record.shipping_order import FILE_NAME, load_order
from gradstab.stability.judgement import Judgement, judge
from gradstab.study.axes import Value
from gradstab.system.child_process import ParentPipe
from gradstab.system.storage_url import parse_tracking
from gradstab.tracking.child_policy import gets_run
from gradstab.tracking.metric_names import MetricNames, names_of
from gradstab.tracking.mlflow_client import UNREACHABLE
from gradstab.tracking.mlflow_store import Child, MlflowStore, RefusedError
from gradstab.tracking.parent_content import parent_params, parent_tags
from gradstab.tracking.retry import GaveUpError, RetryWhileDriven, short_reason
from gradstab.tracking.run_content import RunContent, run_content, table_row
from gradstab.tracking.shipping_files import (
    Cursor,
    ShipperState,
    load_cursor,
    save_cursor,
    save_state,
)
from gradstab.tracking.study_page import StudyPage
from gradstab.tracking.study_progress import StudyProgress

EXIT_WAITING = 4
POLL_S = 0.2
HEARTBEAT_S = 1.0
MOST_REFUSALS = 3
REFUSAL_PAUSE_S = 2.0

Row = dict[str, Value | None]


@dataclass
class _Destination:
    """Where the study is in MLflow, and what MLflow holds of it already."""

    store: MlflowStore
    experiment_id: str
    parent_run_id: str
    cursor: Cursor
    children: dict[int, Child]
    progress: StudyProgress


class SegmentShipper:
    """Ships one results folder until its driver ends. Two at once would disturb each other: see `shipper.locked`."""

    def __init__(self, folder: Path, driver: ParentPipe) -> None:
        self._folder = folder
        self._driver = driver
        self._order = load_order(folder)
        self._order_mtime = 0
        self._state = ShipperState()
        self._retry = RetryWhileDriven(
            driver, (*UNREACHABLE, StorageError), self._report, parse_tracking(self._order.uri)
        )
        self._rows: dict[int, Row] = {}
        self._doubtful: set[int] = set()
        self._unreadable: set[str] = set()
        self._beat = 0.0
        self._refusals = 0
        self._names = MetricNames()

    def run(self) -> int:
        """Ship until the driver ends; return the exit code."""
        destination: _Destination | None = None
        try:
            while True:
                last_round = self._driver.closing  # read before the folder, so that all that was there is shipped
                try:
                    destination = destination or self._open()
                    self._ship_pending(destination)
                    self._show(destination, last=last_round)
                except RefusedError as error:
                    self._refused(error)
                    destination = None
                    continue
                if last_round:
                    break
                self._driver.wait(POLL_S)
        except GaveUpError:
            return EXIT_WAITING
        unshipped = {path.name for path in segment_paths(self._folder)} - destination.cursor.shipped
        return EXIT_WAITING if unshipped else 0

    def _open(self) -> _Destination:
        """Find or create experiment and parent run, and learn what they hold."""
        order, retry = self._order, self._retry
        tracking = parse_tracking(order.uri)
        store = retry(lambda: MlflowStore(tracking, order.artifact_root))
        experiment = retry(lambda: store.experiment(order.experiment_name, order.study_id, order.artifact_root))
        experiment_id = str(experiment.experiment_id)
        self._names = names = names_of(experiment.tags)
        held = load_cursor(self._folder, order.uri)
        parent = retry(lambda: store.parent(experiment_id, order.study, parent_tags(order, names), held.parent_run_id))
        parent_id = str(parent.info.run_id)
        cursor = held if held.parent_run_id == parent_id else Cursor(store=held.store, parent_run_id=parent_id)
        children: dict[int, Child] = {}
        if self._pending(cursor):
            children = retry(lambda: store.children(experiment_id))
            strays = [child.run_id for child in children.values() if child.parent_run_id != parent_id]
            retry(lambda: store.reparent(strays, parent_id))
        page = StudyPage(store, experiment_id, parent_id, experiment.tags, self._folder, names)
        retry(lambda: self._describe(store, parent_id))
        retry(lambda: page.open(order))
        save_cursor(self._folder, cursor)
        self._load_rows(cursor)
        self._save_state(
            experiment_name=experiment.name, experiment_id=experiment_id, parent_run_id=parent_id, last_error=None
        )
        progress = StudyProgress(store, parent_id, page)
        return _Destination(store, experiment_id, parent_id, cursor, children, progress)

    def _describe(self, store: MlflowStore, parent_id: str) -> None:
        order = self._order
        store.describe(parent_id, parent_params(order), parent_tags(order, self._names))
        store.set_status(parent_id, "RUNNING", None)
        store.log_json(parent_id, order.resolved, "resolved.json")
        study_file = self._folder / order.study_file
        if study_file.is_file():
            store.log_file(parent_id, study_file, "study")

    def _load_rows(self, cursor: Cursor) -> None:
        """Read the table's rows of what is shipped already. If a number has two records, the first counts."""
        self._rows = {}
        for path in segment_paths(self._folder):
            if path.name in cursor.shipped:
                for record in self._read(path):
                    self._rows.setdefault(record.number, self._judged(record)[1])

    def _pending(self, cursor: Cursor) -> list[Path]:
        done = cursor.shipped | self._unreadable
        return [path for path in segment_paths(self._folder) if path.name not in done]

    def _ship_pending(self, destination: _Destination) -> None:
        for path in self._pending(destination.cursor):
            if self._driver.gone and self._driver.patience is None:
                return
            self._ship_segment(destination, path)

    def _ship_segment(self, destination: _Destination, path: Path) -> None:
        """Ship all trials of a segment, then the segment as an artifact, then move the cursor."""
        rows: dict[int, Row] = {}
        for record in self._read(path):
            if record.number in self._rows:
                continue
            judgement, row, content = self._judged(record)
            rows[record.number] = row
            if gets_run(self._order, record.number, judgement):
                self._ship_trial(destination, content)
            self._heartbeat()
        if path.name in self._unreadable:
            return
        store, parent_id, cursor = destination.store, destination.parent_run_id, destination.cursor
        self._retry(lambda: store.log_file(parent_id, path, "segments"))
        self._settle_doubts(destination)
        store.sync()
        moved = cursor.model_copy(update={"shipped": cursor.shipped | {path.name}})
        save_cursor(self._folder, moved)
        destination.cursor = moved
        self._rows |= rows
        self._refusals = 0
        self._save_state()

    def _ship_trial(self, destination: _Destination, content: RunContent) -> None:
        """Find or create the trial's run, fill it, end it."""
        child = destination.children.get(content.number)
        if child is not None and child.complete:
            return
        run_id = None if child is None else self._filled(destination, content, child.run_id)
        run_id = run_id or self._created(destination, content)
        destination.children[content.number] = Child(run_id, destination.parent_run_id, complete=True)

    def _filled(self, destination: _Destination, content: RunContent, run_id: str) -> str | None:
        """Fill and end a run that is there; None if MLflow refuses, and the run is deleted then."""
        store = destination.store
        try:
            self._retry(lambda: store.fill_child(destination.experiment_id, run_id, content))
        except RefusedError:
            # MLflow holds other values than the record (an older version rounded differently): the record is right
            self._retry(lambda: store.delete_run(run_id))
            return None
        return run_id

    def _run_of(self, destination: _Destination, number: int, *, make: bool) -> str | None:
        """Id of a trial's run, looked up if this shipper did not make it; None if it has none and `make` is false."""
        children, store = destination.children, destination.store
        if number not in children:
            children.update(self._retry(lambda: store.children(destination.experiment_id, number)))
        if number not in children and make:
            paths = [path for path in segment_paths(self._folder) if number in segment_numbers(path)]
            for record in self._read(paths[0]) if paths else []:
                if record.number == number:
                    self._ship_trial(destination, self._judged(record)[2])
        return children[number].run_id if number in children else None

    def _created(self, destination: _Destination, content: RunContent) -> str:
        """Create, fill and end a run. After a failure the run may exist all the same: look for it before the next."""
        store, experiment_id, number = destination.store, destination.experiment_id, content.number
        attempts = 0

        def create() -> str:
            nonlocal attempts
            attempts += 1
            if attempts > 1:
                self._doubtful.add(number)
                found = store.children(experiment_id, number).get(number)
                if found is not None:
                    store.fill_child(experiment_id, found.run_id, content)
                    return found.run_id
            return store.add_child(experiment_id, destination.parent_run_id, content)

        return self._retry(create)

    def _settle_doubts(self, destination: _Destination) -> None:
        """Delete the second runs of trials whose creation was repeated."""
        store, experiment_id, doubtful = destination.store, destination.experiment_id, sorted(self._doubtful)
        self._retry(lambda: [store.children(experiment_id, number) for number in doubtful])

    def _show(self, destination: _Destination, *, last: bool) -> None:
        """Show how far the study has come, now and then. At the end, also settle doubts and end the study's run."""
        self._reload_order()
        order, store, parent_id = self._order, destination.store, destination.parent_run_id
        destination.progress.show(order, self._rows, partial(self._run_of, destination), self._retry, last=last)
        if last:
            self._settle_doubts(destination)
            status = "FINISHED" if len(self._rows) >= order.budget else "KILLED"  # stopped before its budget
            self._retry(lambda: store.set_status(parent_id, status, time.time_ns() // 1_000_000))

    def _judged(self, record: Record) -> tuple[Judgement | None, Row, RunContent]:
        judgement = None if record.trajectory is None else judge(record.trajectory, self._order.criterion)
        return (
            judgement,
            table_row(record, judgement, self._names),
            run_content(record, judgement, self._order, self._names),
        )

    def _read(self, path: Path) -> list[Record]:
        """A segment's records; none if it was set aside meanwhile or is damaged, which the driver deals with."""
        try:
            return read_segment(path)
        except (FileNotFoundError, CorruptSegmentError) as error:
            self._unreadable.add(path.name)
            self._report(short_reason(error))
            return []

    def _reload_order(self) -> None:
        mtime = (self._folder / FILE_NAME).stat().st_mtime_ns
        if mtime != self._order_mtime:
            self._order_mtime = mtime
            self._order = load_order(self._folder)

    def _refused(self, error: RefusedError) -> None:
        """Wait, then begin again: MLflow refused what concerns the whole study, such as a run that the user deleted."""
        self._refusals += 1
        self._report(short_reason(error))
        if self._driver.closing and self._refusals >= MOST_REFUSALS:
            raise GaveUpError(short_reason(error)) from error
        self._driver.wait(REFUSAL_PAUSE_S)

    def _report(self, error: str | None) -> None:
        if error is not None and error != self._state.last_error:
            print(error, file=sys.stderr, flush=True)
        self._save_state(last_error=error)

    def _heartbeat(self) -> None:
        if time.monotonic() - self._beat > HEARTBEAT_S:
            self._save_state()

    def _save_state(self, **changes: str | None) -> None:
        self._beat = time.monotonic()
        self._state = self._state.model_copy(update={"shipped": len(self._rows), **changes})
        save_state(self._folder, self._state)
