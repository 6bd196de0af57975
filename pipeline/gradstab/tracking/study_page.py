"""What MLflow shows of a study as a whole: saved views, notes, trials at the boundary, region and report.

The report and other files that appear in the results folder are shipped as they are found.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from gradstab.record.shipping_order import ShippingOrder
from gradstab.study.axes import Value
from gradstab.tracking.artifact_uploader import ArtifactUploader, FindRun
from gradstab.tracking.experiment_note import boundary_trials, experiment_note, parent_note
from gradstab.tracking.metric_names import MetricNames
from gradstab.tracking.mlflow_store import MlflowStore
from gradstab.tracking.parent_content import in_flight_table, table
from gradstab.tracking.saved_views import view_tags, views
from gradstab.tracking.trial_metrics import MetricRow

NOTES_EVERY_S = 10.0
BOUNDARY_TRIALS = 50
_LINKED_TRIALS = 20  # a note holds 5000 characters

Rows = Mapping[int, dict[str, Value | None]]


class StudyPage:
    """Keeps the experiment's tags and the study's own run current, apart from counts and the table of trials.

    Args:
        held: the experiment's tags as MLflow has them, so that nothing is written twice.
        names: how the study's metrics are named.
    """

    def __init__(
        self,
        store: MlflowStore,
        experiment_id: str,
        parent_run_id: str,
        held: Mapping[str, str],
        folder: Path,
        names: MetricNames,
    ) -> None:
        self._names = names
        self._store = store
        self._experiment_id = experiment_id
        self._parent_run_id = parent_run_id
        self._held = dict(held)
        self._files = ArtifactUploader(store, experiment_id, parent_run_id, folder)
        self._noted = (-1, 0.0)  # rows, monotonic time
        self._in_flight: tuple[int, ...] | None = None
        self._moment = (0, 0)  # the order's time stamp, trials done

    def open(self, order: ShippingOrder) -> None:
        """Write the saved views and the data set."""
        self._tag(view_tags(order, self._names, self._files.shapes()))
        self._store.log_dataset(self._parent_run_id, order.study, order.resolved.get("data", {}))

    def refresh(self, order: ShippingOrder, rows: Rows, find_run: FindRun, *, last: bool) -> None:
        """Write whatever is due; `find_run` gives the run of a trial. Writing it again changes nothing."""
        self._show_rate(order)
        self._show_in_flight(order, last=last)
        if self._files.ship(find_run, last=last):
            self._tag(view_tags(order, self._names, self._files.shapes()))  # cards are as high as their pictures
        num_rows, at = self._noted
        if (len(rows) != num_rows or last) and (last or time.monotonic() - at > NOTES_EVERY_S):
            self._write_notes(order, rows, find_run)
            self._noted = (len(rows), time.monotonic())

    def _show_rate(self, order: ShippingOrder) -> None:
        """Log trials a second since the last order of the driver, at most once for each order."""
        stamp, done = self._moment
        now = order.counts.get("done", 0)
        seconds = (order.updated_ms - stamp) / 1000
        if stamp and seconds >= 1.0 and now > done:
            row = MetricRow("trials/per_second", float(f"{(now - done) / seconds:.4g}"), now)
            self._store.log_progress(self._parent_run_id, [row], order.updated_ms, {})
        if not stamp or seconds >= 1.0:
            self._moment = (order.updated_ms, now)

    def _show_in_flight(self, order: ShippingOrder, *, last: bool) -> None:
        due = self._in_flight is None or last or time.monotonic() - self._noted[1] > NOTES_EVERY_S
        if due and order.in_flight != self._in_flight:
            self._store.log_json(self._parent_run_id, in_flight_table(order), "in_flight.json")
            self._in_flight = order.in_flight

    def _write_notes(self, order: ShippingOrder, rows: Rows, find_run: FindRun) -> None:
        known, all_rows = views(order, self._names, self._files.shapes()), list(rows.values())
        region, certified = self._files.region()
        note = experiment_note(
            order, self._names, self._experiment_id, self._parent_run_id, known, all_rows, region, certified=certified
        )
        self._tag({MLFLOW_RUN_NOTE: note})
        nearest = boundary_trials(all_rows, BOUNDARY_TRIALS)
        self._store.log_json(self._parent_run_id, table(nearest), "boundary.json")
        linked = [(row, find_run(int(row["trial"] or 0), make=False)) for row in nearest[:_LINKED_TRIALS]]
        text = parent_note(order, self._names, self._experiment_id, known, linked, self._files.has_report())
        self._store.log_progress(self._parent_run_id, (), order.updated_ms, {MLFLOW_RUN_NOTE: text})

    def _tag(self, tags: Mapping[str, str]) -> None:
        """Set the tags of the experiment that it does not have already."""
        for name, value in tags.items():
            if self._held.get(name) != value:
                self._store.tag_experiment(self._experiment_id, name, value)
                self._held[name] = value
