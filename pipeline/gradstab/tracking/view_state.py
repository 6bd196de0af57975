"""The state of a saved view, as the MLflow 3.17 UI stores it in a tag of the experiment: pages, cards and their axes.

The format is MLflow's own and is not documented; the browser tests guard it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

TAG_PREFIX = "mlflow.sharedViewState."
TRIALS = "tags.kind = 'trial'"
FIRST_20 = "FIRST_20_RUNS"
_CREATED_MS = 1_750_000_000_000  # the list of views shows the newest first
_NEWEST = ("tags.`mlflow.runName`", False)  # names begin with the number
# prefixes of keys, for each of which the UI would make a section of its own
_GENERATED = ("Model metrics", "trials", "region", "series", "profile_init", "profile_end", "Image grid", "heat_map")

Card = dict[str, Any]


@dataclass(frozen=True)
class View:
    """One saved view: its id in links, its name in the list, and the state that the UI restores."""

    id: str
    name: str
    state: dict[str, Any]

    def tag(self, order: int) -> tuple[str, str]:
        """The experiment tag that holds the view; `order` is its place in the list."""
        value = {"name": self.name, "createdAt": _CREATED_MS - 1000 * order, "state": _compact(self.state)}
        return TAG_PREFIX + self.id, _compact(value)


@dataclass(frozen=True)
class Page:
    """What all views of a study share.

    Attributes:
        columns: columns of the list of trials.
    """

    columns: tuple[str, ...]

    def state(
        self,
        title: str,
        cards: Iterable[Card],
        *,
        where: str = TRIALS,
        order: tuple[str, bool] = _NEWEST,
        by_verdict: bool = False,
        extra: tuple[str, ...] = (),
        shown_runs: str = "SHOW_ALL",
        grid: tuple[int, int] = (2, 400),
    ) -> dict[str, Any]:
        """A page of one section of cards over a flat list of trials.

        Args:
            where: search that picks the trials.
            order: column by which trials are sorted, and whether upward. The UI draws the first 100 only.
            by_verdict: whether charts show one curve for each verdict instead of one for each trial.
            extra: more columns.
            shown_runs: which of the listed trials the charts draw.
            grid: cards in a row, and their height in pixels.
        """
        section = {"isReordered": True, "deleted": False, "isGenerated": False}
        sections = [
            {**section, "uuid": "cards", "name": title, "display": True, "columns": grid[0], "cardHeight": grid[1]},
            # the UI makes a card of every key that has none; these sections hide them
            *({**section, "uuid": name, "name": name, "display": False} for name in _GENERATED),
        ]
        group = {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "verdict"}]}
        shared = {"isGenerated": False, "deleted": False, "metricSectionId": "cards", "runsCountToCompare": 100}
        return {
            "selectedColumns": [*self.columns, *extra],
            "columnOrder": [],
            "columnWidths": {},
            "runsExpanded": {},
            "runsPinned": [],
            "runsHidden": [],
            "runsVisibilityMap": {},
            "runsHiddenMode": shown_runs,
            "isAccordionReordered": True,
            "viewMaximized": False,
            "runListHidden": False,
            "groupBy": group if by_verdict else None,
            "groupsExpanded": {},
            "autoRefreshEnabled": True,
            "useGroupedValuesInCharts": True,
            "hideEmptyCharts": False,
            "searchFilter": where,
            "orderByKey": order[0],
            "orderByAsc": order[1],
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "datasetsFilter": [],
            "modelVersionFilter": "All Runs",
            "compareRunSections": sections,
            "chartsSearchFilter": "",
            "compareRunCharts": [{**shared, "uuid": f"card{index}", **card} for index, card in enumerate(cards)],
        }


def scatter(x: str, y: str) -> Card:
    """One dot a trial over two metrics."""
    # with `dataAccessKey` on its axes a scatter vanished in 3.17.2
    return {"type": "SCATTER", "xaxis": {"key": x, "type": "METRIC"}, "yaxis": {"key": y, "type": "METRIC"}}


def contour(x: str, y: str, z: str) -> Card:
    """Contours of a metric over two others."""
    return {"type": "CONTOUR", "xaxis": _axis(x), "yaxis": _axis(y), "zaxis": _axis(z)}


def parallel(params: Sequence[str], metrics: Sequence[str]) -> Card:
    """Parallel coordinates: one line a trial through params and metrics."""
    return {"type": "PARALLEL", "selectedParams": [*params], "selectedMetrics": [*metrics], "showAllRuns": True}


def image(key: str) -> Card:
    """The images that runs hold under a key."""
    return {"type": "IMAGE", "imageKeys": [key], "step": 0, "showRunParams": False}


def line(key: str) -> Card:
    """A metric over its steps."""
    return {
        "type": "LINE",
        "metricKey": key,
        "selectedMetricKeys": [key],
        "scaleType": "linear",
        "xAxisKey": "step",
        "xAxisScaleType": "linear",
        "lineSmoothness": 0,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "range": {},
    }


def _compact(content: Any) -> str:
    """JSON without spaces: a tag of an experiment holds 5000 characters."""
    return json.dumps(content, separators=(",", ":"))


def _axis(key: str) -> dict[str, str]:
    return {"key": key, "type": "METRIC", "dataAccessKey": f"metrics.{key}"}
