"""The state of a saved view, as the MLflow 3.17 UI stores it in a tag of the experiment: pages, cards and their axes.

The format is MLflow's own and is not documented; the browser tests guard it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TAG_PREFIX = "mlflow.sharedViewState."
TRIALS = "tags.kind = 'trial'"
FIRST_20 = "FIRST_20_RUNS"
_CREATED_MS = 1_750_000_000_000  # the list of views shows the newest first
# the study's own run, which has the pictures, then the newest trials; by the time alone, they would be folded into it
_STUDY_FIRST = ("tags.`kind`", True)
# prefixes of keys, for each of which the UI would make a section of its own
_GENERATED = (
    "Model metrics", "trials", "region", "series", "profile", "profile_init", "profile_end", "Image grid", "heat_map",
    "phase_diagram",
)  # fmt: skip
# of a card with one picture, in pixels: what lies above and below the picture, and how wide that is on a usual screen
_AROUND_PICTURE, _WIDTH_OF_PICTURE = 165, 1110
_TALLEST = 1400

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
class Section:
    """Cards under one heading.

    Attributes:
        columns: cards in a row.
        height: of a card, in pixels.
    """

    title: str
    cards: tuple[Card, ...]
    columns: int = 2
    height: int = 400


@dataclass(frozen=True)
class Page:
    """What all views of a study share.

    Attributes:
        columns: columns of the list of trials.
        group: the tag by which charts of groups put trials together.
    """

    columns: tuple[str, ...]
    group: str

    def state(
        self,
        *sections: Section,
        where: str = TRIALS,
        order: tuple[str, bool] = _STUDY_FIRST,
        by_verdict: bool = False,
        extra: tuple[str, ...] = (),
        without: str = "",
        shown_runs: str = "SHOW_ALL",
        wide: bool = False,
    ) -> dict[str, Any]:
        """A page of sections of cards over a flat list of trials.

        Args:
            where: search that picks the trials.
            order: column by which trials are sorted, and whether upward. The UI draws the first 100 only.
            by_verdict: whether charts show one curve for each verdict instead of one for each trial.
            extra: more columns.
            without: a column that is the same for all trials of the view.
            shown_runs: which of the listed trials the charts draw.
            wide: whether the list of trials is closed, so that cards have its width too.
        """
        state = {"isReordered": True, "deleted": False, "isGenerated": False}
        shown = [
            {**state, "uuid": f"cards{index}", "name": section.title, "display": True}
            | {"columns": section.columns, "cardHeight": section.height}
            for index, section in enumerate(sections)
        ]
        # the UI makes a card of every key that has none; these sections hide them
        hidden = [{**state, "uuid": name, "name": name, "display": False} for name in _GENERATED]
        group = {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": self.group}]}
        shared = {"isGenerated": False, "deleted": False, "runsCountToCompare": 100}
        cards = [(index, card) for index, section in enumerate(sections) for card in section.cards]
        return {
            "selectedColumns": [column for column in (*self.columns, *extra) if column != without],
            "columnOrder": [],
            "columnWidths": {},
            "runsExpanded": {},
            "runsPinned": [],
            "runsHidden": [],
            "runsVisibilityMap": {},
            "runsHiddenMode": shown_runs,
            "isAccordionReordered": True,
            "viewMaximized": False,
            "runListHidden": wide,
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
            "compareRunSections": [*shown, *hidden],
            "chartsSearchFilter": "",
            "compareRunCharts": [
                {**shared, "uuid": f"card{number}", "metricSectionId": f"cards{index}", **card}
                for number, (index, card) in enumerate(cards)
            ],
        }


def picture(title: str, key: str, shape: float) -> Section:
    """A section with one picture as wide as the page.

    Args:
        key: under which the study's own run holds it.
        shape: its height over its width.
    """
    height = min(_TALLEST, _AROUND_PICTURE + round(_WIDTH_OF_PICTURE * shape))
    return Section(title, (image(key),), columns=1, height=height)


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


def line(key: str, *, log: bool = False) -> Card:
    """A metric over its steps, on a logarithmic scale if `log`."""
    return {
        "type": "LINE",
        "metricKey": key,
        "selectedMetricKeys": [key],
        "scaleType": "log" if log else "linear",
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
