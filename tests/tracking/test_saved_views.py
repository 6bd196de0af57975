"""Saved views refer to what runs hold, fit into a tag, and mix nothing that a map must keep apart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gradstab.activations.registry import LIBRARY
from gradstab.stability.judgement import judge
from gradstab.study.responses.registry import RESPONSES
from gradstab.tracking.links import MAP_ID
from gradstab.tracking.metric_names import MetricNames
from gradstab.tracking.parent_content import parent_params
from gradstab.tracking.run_content import run_content
from gradstab.tracking.saved_views import view_tags, views
from gradstab.tracking.view_state import TAG_PREFIX
from tests.fakes import make_record
from tests.tracking.orders import order_of

NAMINGS = [MetricNames(), MetricNames(readable=False, comparable=False)]
SHAPES = {"phase_diagram": 0.375, "phase_diagram/gelu": 0.4, "phase_diagram/false": 0.4, "depth_profiles": 0.4}

SPACES: dict[str, dict[str, Any]] = {
    "scale and depth": {
        "depth": {"type": "log_integer", "low": 2, "high": 32},
        "init_scale": {"type": "log_real", "low": 0.5, "high": 4.0},
    },
    "clipping": {
        "relative_init_scale": {"type": "log_real", "low": 0.5, "high": 4.0},
        "learning_rate": {"type": "log_real", "low": 1e-3, "high": 1.0},
        "clip": {"type": "choice", "choices": [False, True]},
    },
    "everything": {
        "depth": {"type": "log_integer", "low": 2, "high": 32},
        "bias_scale": {"type": "real", "low": 0.0, "high": 1.0},
        "init_scale": {"type": "log_real", "low": 0.5, "high": 4.0},
        "activation": {"type": "choice", "choices": ["tanh", "relu", "sigmoid", "gelu", "selu", "erf"]},
        "init_distribution": {"type": "choice", "choices": ["normal", "orthogonal"]},
        "clip": {"type": "choice", "choices": [False, True]},
        "clip_threshold": {"type": "log_real", "low": 0.1, "high": 10.0},
        "learning_rate": {"type": "log_real", "low": 1e-3, "high": 1.0},
        "momentum": {"type": "real", "low": 0.0, "high": 0.99},
        "batch_size": {"type": "integer", "low": 16, "high": 128},
    },
    "many activations": {"activation": {"type": "choice", "choices": list(LIBRARY)}},
    "one numeric axis": {"learning_rate": {"type": "log_real", "low": 1e-3, "high": 1.0}},
}
POINTS: dict[str, dict[str, Any]] = {
    "scale and depth": {"depth": 12, "init_scale": 1.5},
    "clipping": {"relative_init_scale": 1.2, "learning_rate": 0.1, "clip": True},
    "everything": {
        "depth": 12, "bias_scale": 0.2, "init_scale": 1.5, "activation": "gelu", "init_distribution": "normal",
        "clip": True, "clip_threshold": 0.7, "learning_rate": 0.01, "momentum": 0.8, "batch_size": 32,
    },
    "many activations": {"activation": "elu"},
    "one numeric axis": {"learning_rate": 0.03},
}  # fmt: skip


@pytest.mark.parametrize("names", NAMINGS, ids=["readable", "0.1.0"])
@pytest.mark.parametrize("responses", [None, ("R",), ("R_worst",), ("T",)], ids=str)
@pytest.mark.parametrize("name", SPACES)
def test_columns_and_cards_name_keys_that_a_run_holds(
    name: str, responses: tuple[str, ...] | None, names: MetricNames
) -> None:
    order = order_of(SPACES[name], study_fields={"criterion": {"responses": responses}})
    record = make_record(3, point=POINTS[name])
    assert record.trajectory is not None
    content = run_content(record, judge(record.trajectory, order.criterion), order, names)
    metrics = {row.key for row in content.metrics}
    held = {f"metrics.`{key}`" for key in metrics} | {f"params.`{key}`" for key in content.params}
    held |= {f"tags.`{key}`" for key in content.tags} | {"tags.`mlflow.runName`"}
    assert views(order, names, SHAPES)[-3].state["groupBy"]["groupByKeys"][0]["groupByData"] in content.tags
    for view in views(order, names, SHAPES):
        assert set(view.state["selectedColumns"]) | {view.state["orderByKey"]} <= held, view.name
        for card in view.state["compareRunCharts"]:
            keys = {card[axis]["key"] for axis in ("xaxis", "yaxis", "zaxis") if axis in card}
            keys |= {*card.get("selectedMetricKeys", ()), *card.get("selectedMetrics", ())}
            assert keys <= metrics, (view.name, keys - metrics)
            assert set(card.get("selectedParams", ())) <= set(content.params)


@pytest.mark.parametrize("names", NAMINGS, ids=["readable", "0.1.0"])
@pytest.mark.parametrize("name", SPACES)
def test_a_view_fits_into_a_tag_and_the_list_shows_them_in_order(name: str, names: MetricNames) -> None:
    every = {"criterion": {"responses": list(RESPONSES)}}
    tags = view_tags(order_of(SPACES[name], study_fields=every), names, SHAPES)
    assert f"{TAG_PREFIX}{MAP_ID}" in tags
    held = {key: json.loads(value) for key, value in tags.items()}
    assert max(map(len, tags.values())) <= 5000, "MLflow takes no longer tag of an experiment"
    newest_first = sorted(held.values(), key=lambda view: -view["createdAt"])
    assert [view["name"][0] for view in newest_first] == sorted(view["name"][0] for view in newest_first)
    assert len(tags) <= 40, "the UI's own limit"
    for view in held.values():
        state = json.loads(view["state"])
        uuids = [card["uuid"] for card in state["compareRunCharts"]]
        assert len(set(uuids)) == len(uuids)
        assert {card["metricSectionId"] for card in state["compareRunCharts"]} <= {
            section["uuid"] for section in state["compareRunSections"]
        }


@pytest.mark.parametrize(
    ("name", "maps_with_contours"),
    [
        ("scale and depth", {"gradstab-map"}),
        ("clipping", {"gradstab-map-false", "gradstab-map-true"}),
        ("everything", {f"gradstab-map-{name}" for name in ("tanh", "relu", "sigmoid", "gelu", "selu", "erf")}),
        ("many activations", set()),
        ("one numeric axis", set()),
    ],
)
def test_contours_are_drawn_of_one_choice_only(name: str, maps_with_contours: set[str]) -> None:
    found = {
        view.id
        for view in views(order_of(SPACES[name]), MetricNames(), SHAPES)
        if "CONTOUR" in {card["type"] for card in view.state["compareRunCharts"]}
    }
    assert found == maps_with_contours


def test_a_map_of_one_numeric_axis_is_drawn_over_that_axis() -> None:
    overview = views(order_of(SPACES["one numeric axis"]), MetricNames(), SHAPES)[0]
    cards = [card for card in overview.state["compareRunCharts"] if card["type"] == "SCATTER"]
    axes = [(card["xaxis"]["key"], card["yaxis"]["key"]) for card in cards]
    assert axes == [
        ("log10_learning_rate", "margin"),
        ("log10_learning_rate", "gradient_ratio"),
        ("log10_learning_rate", "training_response"),
    ]


@pytest.mark.parametrize(("names", "loss"), [(NAMINGS[0], "series/log10_loss"), (NAMINGS[1], "series/loss")])
def test_losses_over_many_decades_are_never_drawn_on_a_linear_axis(names: MetricNames, loss: str) -> None:
    found = [
        card
        for view in views(order_of(), names, SHAPES)
        for card in view.state["compareRunCharts"]
        if card.get("metricKey") == loss
    ]
    assert found
    assert all("log10" in loss or card["scaleType"] == "log" for card in found)


def sections(state: dict[str, Any], number: int) -> dict[str, Any]:
    found: dict[str, Any] = state["compareRunSections"][number]
    return found


def test_a_picture_leads_its_view_and_fills_a_section_of_its_own() -> None:
    found = {view.id: view.state for view in views(order_of(SPACES["everything"]), MetricNames(), SHAPES)}
    for view, key in ((MAP_ID, "phase_diagram"), (f"{MAP_ID}-gelu", "phase_diagram/gelu")):
        state = found[view]
        first, *others = state["compareRunCharts"]
        assert (first["type"], first["imageKeys"]) == ("IMAGE", [key])
        section = sections(state, 0)
        assert (section["uuid"], section["columns"], section["display"]) == (first["metricSectionId"], 1, True)
        assert all(card["metricSectionId"] != section["uuid"] for card in others)
        assert state["runListHidden"]
    assert not found[f"{MAP_ID}-tanh"]["runListHidden"], "there is no picture of it, so the list of trials is open"
    assert sections(found[MAP_ID], 0)["cardHeight"] < sections(found[f"{MAP_ID}-gelu"], 0)["cardHeight"]


def test_without_a_report_no_card_waits_for_a_picture() -> None:
    found = views(order_of(SPACES["everything"]), MetricNames(), {})
    assert [view.id for view in found] != [view.id for view in views(order_of(), MetricNames(), SHAPES)]
    for view in found:
        keys = [key for card in view.state["compareRunCharts"] for key in card.get("imageKeys", ())]
        assert all(key.startswith("heat_map/") for key in keys), view.name


def test_a_choices_view_finds_its_trials_and_the_studys_own_run_and_no_others() -> None:
    names = ("relu", "leaky_relu", "tanh")
    order = order_of({"depth": SPACES["everything"]["depth"], "activation": {"type": "choice", "choices": names}})
    wanted = {view.id: view.state["searchFilter"] for view in views(order, MetricNames(), SHAPES)}
    assert parent_params(order)["activation"] == "relu, leaky_relu, tanh"
    assert wanted[f"{MAP_ID}-tanh"] == "params.`activation` LIKE '%tanh%'"
    assert wanted[f"{MAP_ID}-relu"] == "params.`activation` LIKE '%relu%' AND params.`activation` != 'leaky_relu'"
    columns = {view.id: view.state["selectedColumns"] for view in views(order, MetricNames(), SHAPES)}
    assert "params.`activation`" in columns[MAP_ID]
    assert "params.`activation`" not in columns[f"{MAP_ID}-tanh"], "it is the same for all of them"


def test_mlflows_menu_says_first_what_its_own_links_lack() -> None:
    tags = view_tags(order_of(), MetricNames(), SHAPES)
    names = [json.loads(value)["name"] for value in tags.values()]
    assert "chart button" in names[0]
    assert names[1] == "1 Stability map"
