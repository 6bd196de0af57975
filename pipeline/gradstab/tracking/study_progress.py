"""How far a study has come, shown on its own run in MLflow: counts over time, the table of trials, and its page."""

from __future__ import annotations

import time
from collections.abc import Mapping

from gradstab.record.shipping_order import ShippingOrder
from gradstab.study.axes import Value
from gradstab.tracking.artifact_uploader import FindRun
from gradstab.tracking.mlflow_store import MlflowStore
from gradstab.tracking.parent_content import TABLE_NAME, progress_rows, progress_tags, table
from gradstab.tracking.retry import RetryWhileDriven
from gradstab.tracking.study_page import StudyPage

PROGRESS_EVERY_S = 3.0
TABLE_EVERY_S = 30.0


class StudyProgress:
    """Shows progress when it is due; showing it again changes nothing."""

    def __init__(self, store: MlflowStore, parent_run_id: str, page: StudyPage) -> None:
        self._store = store
        self._parent_run_id = parent_run_id
        self._page = page
        self._counts_shown = (0, 0.0)  # the order's time stamp, monotonic time
        self._points: dict[str, tuple[int, float]] = {}  # the last point of each curve
        self._table_shown = (0, time.monotonic())  # rows, monotonic time

    def show(
        self,
        order: ShippingOrder,
        rows: Mapping[int, dict[str, Value | None]],
        find_run: FindRun,
        retry: RetryWhileDriven,
        *,
        last: bool,
    ) -> None:
        """Show whatever is due, and everything if this is the last time.

        Args:
            rows: the table's rows of all trials shipped, by number.
            find_run: gives the run of a trial.
            retry: makes a call to MLflow until it succeeds.
        """
        self._show_counts(order, retry, last=last)
        self._show_table(rows, retry, last=last)
        retry(lambda: self._page.refresh(order, rows, find_run, last=last))

    def _show_counts(self, order: ShippingOrder, retry: RetryWhileDriven, *, last: bool) -> None:
        stamp, at = self._counts_shown
        if order.updated_ms == stamp or not (last or time.monotonic() - at > PROGRESS_EVERY_S):
            return
        # the same counts a moment later would be a second point in the same place
        rows = [row for row in progress_rows(order) if self._points.get(row.key) != (row.step, row.value)]
        retry(lambda: self._store.log_progress(self._parent_run_id, rows, order.updated_ms, progress_tags(order)))
        self._points.update({row.key: (row.step, row.value) for row in rows})
        self._counts_shown = (order.updated_ms, time.monotonic())

    def _show_table(self, rows: Mapping[int, dict[str, Value | None]], retry: RetryWhileDriven, *, last: bool) -> None:
        num_rows, at = self._table_shown
        if len(rows) == num_rows or not (last or time.monotonic() - at > TABLE_EVERY_S):
            return
        content = table(rows.values())
        retry(lambda: self._store.log_json(self._parent_run_id, content, TABLE_NAME))
        self._table_shown = (len(rows), time.monotonic())
