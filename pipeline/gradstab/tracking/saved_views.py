"""The five saved views of a study's experiment, as the MLflow 3.17 UI stores them: experiment tags, as pure functions.

The format is MLflow's own and not documented; the browser tests guard it. The UI loads 100 runs at a time, so a view's
order decides which trials are drawn first. Keys of columns and charts are those of `run_content`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gradstab.display.numbers import setting_text
from gradstab.record.shipping_order import ShippingOrder
from gradstab.tracking.links import MAP_ID
from gradstab.tracking.run_content import axis_metric

TAG_PREFIX = "mlflow.sharedViewState."
TRIALS = "tags.kind = 'trial'"
PHASE_DIAGRAM = "phase_diagram"  # image of the study's own run
_FIRST_20 = "FIRST_20_RUNS"
_CREATED_MS = 1_750_000_000_000  # the list of views shows the newest first
_MOST_CHOICES = 6
_NEWEST = ("tags.`mlflow.runName`", False)  # names begin with the number
_COLUMNS = ("depth", "init_scale", "activation", "clip")
_GENERATED = ("Model metrics", "trials", "region", "series", "profile_init", "profile_end", "Image grid", "heat_map")
_RESULTS = ("tags.`verdict`", "metrics.`R`", "metrics.`rate`", "metrics.`tail_loss`", "metrics.`clip_fraction`")

Card = dict[str, Any]


@dataclass(frozen=True)
class View:
    """One saved view: its id in links, its name in the list, and the state that the UI restores."""

    id: str
    name: str
    state: dict[str, Any]

    def tag(self, order: int) -> tuple[str, str]:
        """The experiment tag that holds the view; `order` is its place in the list."""
        value = {"name": self.name, "createdAt": _CREATED_MS - 1000 * order, "state": json.dumps(self.state)}
        return TAG_PREFIX + self.id, json.dumps(value)


def view_tags(job: ShippingOrder) -> dict[str, str]:
    """The experiment tags of all views of a study."""
    return dict(view.tag(order) for order, view in enumerate(views(job)))


def views(job: ShippingOrder) -> list[View]:
    """Stability map (and one for each choice of an axis without order), profiles, curves, cliff edge, heat maps."""
    axes = job.resolved.get("space", {})
    page = _Page(_columns(axes))
    x, y = plane(axes)
    split = _split(axes)
    overview = page.state(
        "Stability map", [_image(PHASE_DIAGRAM), *_map(axes, x, y, mixed=split is not None)], where="", grid=(2, 520)
    )
    found = [View(MAP_ID, "1 Stability map", overview)]
    if split is not None:
        name, choices = split
        found += [
            View(
                f"{MAP_ID}-{choice}",
                f"1 Stability map: {choice}",
                page.state(
                    f"Stability map: {choice}",
                    _map(axes, x, y, mixed=False),
                    where=f"{TRIALS} AND params.`{name}` = '{choice}'",
                ),
            )
            for choice in choices
        ]
    return [
        *found,
        View(
            "gradstab-profiles",
            "2 Depth profiles by verdict",
            page.state("Depth profiles (x = layer, 1 next to the input)", _profiles(), by_verdict=True),
        ),
        View(
            "gradstab-curves",
            "3 Training curves by verdict",
            page.state("Training curves (x = optimizer step)", _curves(axes), by_verdict=True),
        ),
        View(
            "gradstab-edge",
            "4 Cliff edge",
            page.state(
                "Trials nearest the boundary",
                _edge(axes, x, y),
                order=("metrics.`edge_distance`", True),
                extra=("metrics.`margin`", "metrics.`edge_distance`"),
                shown_runs=_FIRST_20,  # a curve of each of 100 runs keeps a browser busy for half a minute
            ),
        ),
        View(
            "gradstab-heatmaps",
            "5 Heat-map gallery",
            page.state(
                "Heat maps (x = optimizer step, y = layer)",
                _heat_maps(),
                order=("metrics.`edge_distance`", True),
                where=f"{TRIALS} AND tags.heat_maps = 'true'",
                shown_runs=_FIRST_20,
                grid=(3, 900),  # pictures stand below each other within a card
            ),
        ),
    ]


def plane(axes: dict[str, Any]) -> tuple[str, str]:
    """The metrics a map is drawn over: init scale and depth where they vary, else the first numbers that do."""
    keys = [axis_metric(name, axis) for name, axis in axes.items() if axis["type"] != "choice"]
    keys = ["log10_init_scale" if key == "log10_relative_init_scale" else key for key in keys]
    favourites = [key for key in ("log10_init_scale", "log10_depth", "depth") if key in keys]
    chosen = list(dict.fromkeys([*favourites, *keys, "log10_init_scale", "log10_depth"]))
    return chosen[0], chosen[1]


@dataclass(frozen=True)
class _Page:
    """What all views share."""

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
        """A page of one section of cards over a flat list of trials."""
        section = {"isReordered": True, "deleted": False, "isGenerated": False}
        sections = [
            {**section, "uuid": "cards", "name": title, "display": True, "columns": grid[0], "cardHeight": grid[1]},
            # the UI makes a card of every key that has none; here they are out of the way
            *({**section, "uuid": name, "name": name, "display": False} for name in _GENERATED),
        ]
        group = {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "verdict"}]}
        shared = {"isGenerated": False, "deleted": False, "metricSectionId": "cards", "runsCountToCompare": 100}
        return {
            "selectedColumns": [*self.columns, *_RESULTS, *extra],
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


def _columns(axes: dict[str, Any]) -> tuple[str, ...]:
    names = dict.fromkeys([*_COLUMNS, *(name for name in axes if name != "relative_init_scale")])
    return tuple(f"params.`{name}`" for name in names)


def _split(axes: dict[str, Any]) -> tuple[str, list[str]] | None:
    """The axis without order, activation before others, that a map must not mix; None if there is none."""
    choices = {
        name: axis["choices"]
        for name, axis in axes.items()
        if axis["type"] == "choice" and 2 <= len(axis["choices"]) <= _MOST_CHOICES
    }
    if not choices:
        return None
    name = "activation" if "activation" in choices else next(iter(choices))
    return name, [setting_text(choice) for choice in choices[name]]


def _map(axes: dict[str, Any], x: str, y: str, *, mixed: bool) -> Iterator[Card]:
    yield _scatter(x, y)
    if not mixed:
        yield _contour(x, y, "stable")
        yield _contour(x, y, "R")
    yield _scatter(x, "R")
    numbers = [axis_metric(name, axis) for name, axis in axes.items() if axis["type"] != "choice"]
    yield {
        "type": "PARALLEL",
        "selectedParams": [name for name, axis in axes.items() if axis["type"] == "choice"],
        "selectedMetrics": [*numbers, "R", "margin", "stable"],
        "showAllRuns": True,
    }


def _profiles() -> Iterator[Card]:
    for key in ("log10_grad_norm", "log10_activation_scale"):
        for moment in ("init", "end"):
            yield _line(f"profile_{moment}/{key}")


def _curves(axes: dict[str, Any]) -> Iterator[Card]:
    for key in ("loss", "accuracy", "log10_grad_norm", "R"):
        yield _line(f"series/{key}")
    if "clip" in axes:
        yield _line("series/clip_factor")


def _edge(axes: dict[str, Any], x: str, y: str) -> Iterator[Card]:
    yield _scatter(x, y)
    yield _scatter(x, "margin")
    yield _line("profile_init/log10_grad_norm")
    yield _line("series/loss")
    if "clip" in axes:
        yield _scatter(x, "clip_fraction")


def _heat_maps() -> Iterator[Card]:
    for name in ("grad_norm", "activation_scale", "saturated_or_dead"):
        yield _image(f"heat_map/{name}")


def _axis(key: str) -> dict[str, str]:
    return {"key": key, "type": "METRIC", "dataAccessKey": f"metrics.{key}"}


def _scatter(x: str, y: str) -> Card:
    # with `dataAccessKey` on its axes a scatter vanished in 3.17.2
    return {"type": "SCATTER", "xaxis": {"key": x, "type": "METRIC"}, "yaxis": {"key": y, "type": "METRIC"}}


def _contour(x: str, y: str, z: str) -> Card:
    return {"type": "CONTOUR", "xaxis": _axis(x), "yaxis": _axis(y), "zaxis": _axis(z)}


def _image(key: str) -> Card:
    return {"type": "IMAGE", "imageKeys": [key], "step": 0, "showRunParams": False}


def _line(key: str) -> Card:
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
