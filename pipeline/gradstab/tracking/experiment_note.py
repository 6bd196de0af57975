"""The notes of a study in MLflow, Markdown, as pure functions: of its experiment, and of its own run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gradstab.display.numbers import count_range_text, edges_text, setting_text
from gradstab.record.shipping_order import ShippingOrder
from gradstab.stability.intervals import IntervalInput, stable_intervals
from gradstab.study.space import Value
from gradstab.tracking.links import run_fragment, view_fragment
from gradstab.tracking.saved_views import View

MAX_NOTE = 4900  # MLflow takes 5000 characters
_MOST_INTERVALS = 24
_FAILED = "failed"
_ALL = "all that was searched"  # too wide for a cell
_GAP = "&emsp;"  # the UI draws no space between the columns of a table
_COLOURS = (
    "green stable, blue vanishing, vermilion exploding, black diverged, pink untrainable, orange partial, "
    "light blue trained although its gradients are outside the band"
)

Row = Mapping[str, Value | None]


def experiment_note(
    job: ShippingOrder,
    experiment_id: str,
    parent_run_id: str,
    views: Sequence[View],
    rows: Iterable[Row],
    region: Mapping[str, Any] | None = None,
    *,
    certified: bool = False,
) -> str:
    """Question, answer so far, links to the views, how to read them, and what was set and varied."""
    measured = [row for row in rows if row["verdict"] != _FAILED]
    stable = sum(1 for row in measured if row["verdict"] == "stable")
    # folded, the UI shows the first line alone, and nothing says what is below
    head = f"**Unfold (arrow at the right) for the answer.** {stable} of {len(measured)} trials are stable"
    head += f" ({len(measured)} of {job.budget} done)." if len(measured) < job.budget else "."
    head += f" **{job.question or job.study}**"
    links = " · ".join(f"[{view.name}]({view_fragment(experiment_id, view.id)})" for view in views)
    study = f"[the study's own run]({run_fragment(experiment_id, parent_run_id)})"
    parts = [
        head,
        f"**Look at**: {links} · {study}: phase diagram, counts over time, all trials, report",
        _measured_answer(job, measured) if region is None else _region_answer(region, certified=certified),
        f"**How to read.** A run is one training of one network; its colour is the verdict: {_COLOURS}. "
        "R is the gradient ratio in decades: log10 of the gradient norm at layer 1 over that at the last layer, before "
        "training; tail_loss is the final loss, the mean of the last 20 steps, and - after a divergence. Charts draw "
        "the runs that are loaded (100 at a time; *Load more* at the end of the list); the phase diagram is drawn from "
        "all. Depth profiles have the layer on x, training curves the optimizer step.",
        f"**Axes.** {_axes(job)}",
        f"**Recipe.** {_recipe(job)}",
        f"**Criterion.** {_criterion(job)}",
    ]
    return _within("\n\n".join(part for part in parts if part))


def parent_note(
    job: ShippingOrder,
    experiment_id: str,
    views: Sequence[View],
    boundary: Sequence[tuple[Row, str | None]],
    files: bool,
) -> str:
    """What the study's own run holds, and the trials nearest the boundary, each a link."""
    links = " · ".join(f"[{view.name}]({view_fragment(experiment_id, view.id)})" for view in views)
    lines = [
        f"**{job.question or job.study}**",
        "",
        links,
        "",
        f"Artifacts: all trials `trials.json`, nearest the boundary `boundary.json`, running now `in_flight.json`, "
        f"the study `study/{job.study_file}`, raw results `segments/`"
        + (", phase diagram `images/`, report `report/index.html`." if files else "."),
        "",
        f'The same table in Python: `load_results("{job.study}").trials`.',
        "",
        "**Trials nearest the boundary** (margin: signed distance in units of the band; above 0 is stable)",
        "",
        "| trial | margin | R | depth | init scale | activation | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for row, run_id in boundary:
        name = f"[{row['trial']}]({run_fragment(experiment_id, run_id)})" if run_id else str(row["trial"])
        cells = [
            name,
            *(_cell(row.get(key)) for key in ("margin", "R", "depth", "init_scale", "activation", "verdict")),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return _within("\n".join(lines))


def boundary_trials(rows: Iterable[Row], most: int) -> list[Row]:
    """The trials whose margin is nearest 0, nearest first."""
    measured = [row for row in rows if isinstance(row.get("margin"), int | float)]
    return sorted(measured, key=lambda row: (abs(_number(row["margin"])), _number(row["trial"])))[:most]


def _region_answer(region: Mapping[str, Any], *, certified: bool) -> str:
    """Volume and safe intervals as the last report found them; the words are those of `gradstab region`."""
    name, main = next(iter(region["regions"].items()))
    said = (
        f"**Answer after {region['num_trials']} trials.** The region takes {main['volume_words']} of the search space "
        "(90 % interval), "
        f"{'certified' if certified else 'not certified'}. *Safe*: one new training is stable with p > .95; *stable*: "
        "the median over seeds is."
    )
    keys = {"where": "at", "safe": "safe {}", "region": "stable {}"}
    if name != "R":  # else the same as stable
        keys["gradients"] = "gradients alone"
        said += " *Gradients alone*: those of the untrained network are in their band, whether it then trains or not."
    keys["theory"] = "theory for R"
    lines = []
    for axis in dict.fromkeys(row["axis"] for row in region["intervals"]):
        lines.append(f"| {' | '.join(title.format(axis) + _GAP for title in keys.values())} |")
        lines.append("|---" * len(keys) + "|")
        for row in [row for row in region["intervals"] if row["axis"] == axis][:_MOST_INTERVALS]:
            where, *cells = (row["words"].get(key, "").replace(_ALL, "all") for key in keys)
            lines.append(f"| {' | '.join([where + _GAP, *cells])} |")
        lines.append("")
    return said + "\n\n" + "\n".join(lines) + "\n&nbsp;"


def _measured_answer(job: ShippingOrder, measured: Sequence[Row]) -> str:
    """Stable intervals read off measured trials, until there is a report."""
    inputs = [
        IntervalInput(
            depth=int(_number(row["depth"])),
            init_scale=_number(row["init_scale"]),
            activation=str(row["activation"]),
            bias_scale=_number(row["bias_scale"]),
            margin=_number(row["margin"]),
        )
        for row in measured
    ]
    if not inputs:
        return "No trial yet."
    lines = [
        "**Answer so far**",
        "",
        "| activation | hidden layers | stable init_scale | stable inside | trials |",
        "|---|---|---|---|---|",
    ]
    for interval in stable_intervals(inputs, job.criterion.ratio_band):
        depth = count_range_text(interval.depth_low, interval.depth_high)
        span = edges_text(interval.lower, interval.upper) if interval.found else "none found"
        inside = f"{interval.num_stable_inside}/{interval.num_inside}" if interval.found else ""
        lines.append(f"| {interval.activation} | {depth} | {span} | {inside} | {interval.num_trials} |")
    return "\n".join(lines)


def _axes(job: ShippingOrder) -> str:
    said = []
    for name, axis in job.resolved.get("space", {}).items():
        if axis["type"] == "choice":
            said.append(f"{name}: {', '.join(setting_text(choice) for choice in axis['choices'])}")
        else:
            scale = " (log)" if axis["type"].startswith("log") else ""
            said.append(f"{name}: {setting_text(axis['low'])} to {setting_text(axis['high'])}{scale}")
    return "; ".join(said)


def _recipe(job: ShippingOrder) -> str:
    space = job.resolved.get("space", {})
    fixed = {name: value for name, value in job.resolved.get("recipe", {}).items() if name not in space}
    if not fixed.get("clip") and "clip" not in space:
        fixed = {name: value for name, value in fixed.items() if not name.startswith("clip_")}
    data = job.resolved.get("data", {}).get("type")
    said = [f"{name} {setting_text(value)}" for name, value in fixed.items() if value is not None]
    return ", ".join([*said, *([f"data {data}"] if data else [])])


def _criterion(job: ShippingOrder) -> str:
    steps = job.resolved.get("recipe", {}).get("steps", 1)
    responses = job.criterion.responses_for(1 if "steps" in job.resolved.get("space", {}) else steps)
    said = {
        "R": f"|R| is at most {setting_text(job.criterion.ratio_band)} decades",
        "T": "the loss of the last 20 steps is below "
        f"{setting_text(job.criterion.target_fraction)} times the labels' entropy",
    }
    return f"Stable means: {', and '.join(said[name] for name in responses)}."


def _cell(value: Value | None) -> str:
    return "" if value is None else setting_text(value)


def _number(value: Value | None) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _within(note: str) -> str:
    """A note that MLflow takes: cut at a line's end."""
    if len(note) <= MAX_NOTE:
        return note
    return note[:MAX_NOTE].rpartition("\n")[0] + "\n\n..."
