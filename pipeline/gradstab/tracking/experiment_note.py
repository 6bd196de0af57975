"""The notes of a study in MLflow, as pure functions that give Markdown: of its experiment, and of its own run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gradstab.display.criterion import bands_text
from gradstab.display.numbers import count_range_text, interval_text, setting_text
from gradstab.display.verdicts import verdict_text
from gradstab.record.shipping_order import ShippingOrder
from gradstab.stability.intervals import IntervalTable, StableInterval, stable_intervals
from gradstab.study.axes import Choice, Value
from gradstab.study.responses.registry import RESPONSES
from gradstab.tracking.links import run_fragment, view_fragment
from gradstab.tracking.metric_names import MetricNames
from gradstab.tracking.view_state import View

MAX_NOTE = 4900  # MLflow takes 5000 characters
_MOST_INTERVALS = 24
_FEWER_INTERVALS = (16, 12, 8, 4)
_ROOM_OF_ADVICE = 1200
_MOST_AXES = 5
_FAILED = "failed"
_GAP = "&emsp;"  # the UI draws no space between the columns of a table
_COLOURS = (
    "green stable, blue vanishing, vermilion exploding, black diverged, pink untrainable, orange partial, "
    "light blue trained anyway (although gradients vanish or explode at the start)"
)

Row = Mapping[str, Value | None]


def experiment_note(
    order: ShippingOrder,
    names: MetricNames,
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
    stable = sum(1 for row in measured if _number(row["margin"]) > 0)
    # folded, the UI shows the first line alone, and nothing says what is below
    head = f"**Unfold (arrow at the right) for the answer.** {stable} of {len(measured)} trials are stable"
    head += f" ({len(measured)} of {order.budget} done)." if len(measured) < order.budget else "."
    head += f" **{order.question or order.study}**"
    links = " · ".join(f"[{view.name}]({view_fragment(experiment_id, view.id)})" for view in views)
    study = f"[the study's own run]({run_fragment(experiment_id, parent_run_id)})"
    before = [
        head,
        f"**Look at**: {links} · {study}: phase diagram, counts over time, all trials, report. (MLflow's menu of views "
        "opens tables: press the chart button there.)",
    ]
    after = [
        f"**How to read.** A run is one training of one network; its colour is the verdict: {_COLOURS}. "
        f"{_meanings(order, names)} Charts draw the runs that are loaded (100 at a time; *Load more* at the end of the "
        f"list); the phase diagram is drawn from all. Depth profiles have {_depth_axis(order, names)} on x, training "
        "curves the optimizer step.",
        f"**Criterion.** {_criterion(order)}",
        f"**Axes.** {_axes(order)}",
        f"**Recipe.** {_recipe(order)}",
    ]
    room = MAX_NOTE - sum(len(part) + 2 for part in (*before, *after))
    answer = _measured_answer(order, measured) if region is None else _report_answer(region, room, certified=certified)
    return _within("\n\n".join([*before, answer, *after]))


def parent_note(
    order: ShippingOrder,
    names: MetricNames,
    experiment_id: str,
    views: Sequence[View],
    boundary: Sequence[tuple[Row, str | None]],
    files: bool,
) -> str:
    """What the study's own run holds, and the trials nearest the boundary, each a link."""
    links = " · ".join(f"[{view.name}]({view_fragment(experiment_id, view.id)})" for view in views)
    columns = ["margin", *(names(RESPONSES[letter].name) for letter in _counted(order))]
    columns += [*order.declaration.space.names()[:_MOST_AXES], "verdict"]
    lines = [
        f"**{order.question or order.study}**",
        "",
        links,
        "",
        f"Artifacts: all trials `trials.json`, nearest the boundary `boundary.json`, running now `in_flight.json`, "
        f"the study `study/{order.study_file}`, raw results `segments/`"
        + (", phase diagram `images/`, report `report/index.html`." if files else "."),
        "",
        f'The same table in Python: `load_results("{order.study}").trials`.',
        "",
        "**Trials nearest the boundary** (margin: signed distance in units of the band; above 0 is stable)",
        "",
        f"| {' | '.join(('trial', *columns))} |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for row, run_id in boundary:
        trial = f"[{row['trial']}]({run_fragment(experiment_id, run_id)})" if run_id else str(row["trial"])
        lines.append(f"| {' | '.join([trial, *(_cell(name, row.get(name)) for name in columns)])} |")
    return _within("\n".join(lines))


def boundary_trials(rows: Iterable[Row], most: int) -> list[Row]:
    """The trials whose margin is nearest 0, nearest first."""
    measured = [row for row in rows if isinstance(row.get("margin"), int | float)]
    return sorted(measured, key=lambda row: (abs(_number(row["margin"])), _number(row["trial"])))[:most]


def _report_answer(region: Mapping[str, Any], room: int, *, certified: bool) -> str:
    """What the last report found, and what it recommends: for that the table of intervals is shortened."""
    sentences = [str(sentence) for sentence in region.get("recommended", [])]
    wanted = min(_ROOM_OF_ADVICE, sum(len(sentence) + 3 for sentence in sentences) + 80) if sentences else 0
    for most in (_MOST_INTERVALS, *_FEWER_INTERVALS):
        answer = _region_answer(region, most, certified=certified)
        if len(answer) + wanted <= room:
            break
    advice = _recommended(sentences, room - len(answer) - 2)
    return f"{answer}\n\n{advice}" if advice else answer


def _region_answer(region: Mapping[str, Any], most: int, *, certified: bool) -> str:
    """Volume and safe intervals as the last report found them, in the words of `gradstab region`."""
    name, main = next(iter(region["regions"].items()))
    state = "" if region.get("certificate") is None else ", certified" if certified else ", not certified"
    told = [f"**Answer after {region['num_trials']} trials.**", *region.get("answer", [])[1:]]
    text = "\n- ".join(told) + (
        f"\n\nThe region takes {main['volume_words']} of the search space (90 % interval){state}. *Safe*: one new "
        "training is stable with p > .95; *stable*: the median over seeds is."
    )
    keys = {"where": "at"} if any(row["words"]["where"] for row in region["intervals"]) else {}
    keys |= {"safe": "safe {}", "region": "stable {}"}
    if name != "R":  # else the same as stable
        keys["gradients"] = "gradients alone"
        text += " *Gradients alone*: those of the untrained network are in their band, whether it then trains or not."
    if any(row["words"].get("theory") for row in region["intervals"]):
        keys["theory"] = "theory for R"
    lines = []
    for axis in dict.fromkeys(row["axis"] for row in region["intervals"]):
        lines.append(f"| {' | '.join(title.format(axis) + _GAP for title in keys.values())} |")
        lines.append("|---" * len(keys) + "|")
        for row in _spread([row for row in region["intervals"] if row["axis"] == axis], most):
            first, *cells = (row["words"].get(key, "") for key in keys)
            lines.append(f"| {' | '.join([first + _GAP, *cells])} |")
        lines.append("")
    return text + "\n\n" + "\n".join(lines) + "\n&nbsp;"


def _spread(rows: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """At most so many rows, the last of equal stretches: the deepest networks have the narrowest intervals."""
    count = min(most, len(rows))
    return [rows[-(-(place + 1) * len(rows) // count) - 1] for place in range(count)]


def _recommended(sentences: Sequence[str], room: int) -> str:
    """What to set, as many of the sentences as there is room for; the report has them all."""
    lines = ["**What should I set?**", ""]
    left_out = "- More in the report."
    for sentence in sentences:
        bullet = f"- {sentence}".replace("\n- ", "\n  - ")
        if len("\n".join([*lines, bullet, left_out])) > room:
            lines.append(left_out)
            break
        lines.append(bullet)
    text = "\n".join(lines)
    return text if sentences and len(text) <= room else ""


def _measured_answer(order: ShippingOrder, measured: Sequence[Row]) -> str:
    """Stable intervals read off measured trials, until there is a report."""
    if not measured:
        return "No trial yet."
    space = order.declaration.space
    points = [{name: value for name in space.names() if (value := row[name]) is not None} for row in measured]
    table = stable_intervals(space, points, [_number(row["margin"]) for row in measured])
    columns = [
        *table.choices,
        *(["hidden layers" if order.declaration.model is None else "depth"] if table.by_depth else []),
    ]
    columns += [f"stable {table.axis}", "stable inside"] if table.axis else ["stable"]
    lines = [
        "**Answer so far**" + (f", over all values of {', '.join(table.merged)}" if table.merged else ""),
        "",
        f"| {' | '.join((*columns, 'trials'))} |",
        "|---" * (len(columns) + 1) + "|",
    ]
    lines += [f"| {' | '.join(_interval_cells(table, each))} |" for each in table.rows[:_MOST_INTERVALS]]
    return "\n".join(lines)


def _interval_cells(table: IntervalTable, interval: StableInterval) -> list[str]:
    cells = [setting_text(value) for value in interval.choices.values()]
    if table.by_depth:
        cells.append(count_range_text(interval.depth_low or 0, interval.depth_high or 0))
    if table.axis is None:
        cells.append(str(interval.num_stable))
    else:
        inside = f"{interval.num_stable_inside}/{interval.num_inside}" if interval.found else ""
        cells += [_ends(interval), inside]
    return [*cells, str(interval.num_trials)]


def _ends(interval: StableInterval) -> str:
    if not interval.applies:
        return "no effect"
    if not interval.found:
        return "none found"
    lower, upper = interval.lower, interval.upper
    return interval_text(lower, upper, low_open=lower is None, high_open=upper is None)


def _meanings(order: ShippingOrder, names: MetricNames) -> str:
    """What the columns of numbers mean: of the responses that count, then of the final loss."""
    text = []
    for letter in _counted(order):
        name = names(RESPONSES[letter].name)
        text.append(f"{name} is {'' if name == letter else f'{letter}, '}{RESPONSES[letter].meaning}")
    if order.declaration.recipe.steps or "steps" in order.declaration.space.names():
        text.append("tail_loss is the final loss, the mean of the last 20 steps, and - after a divergence")
    return f"{'; '.join(text)}."


def _depth_axis(order: ShippingOrder, names: MetricNames) -> str:
    if not names.comparable:
        return "the layer"
    return f"% of the {'layers' if order.declaration.model is None else 'taps'}"


def _axes(order: ShippingOrder) -> str:
    text = []
    for name, axis in order.declaration.space.items():
        if isinstance(axis, Choice):
            text.append(f"{name}: {', '.join(setting_text(choice) for choice in axis.choices)}")
        else:
            scale = " (log)" if axis.is_log else ""
            text.append(f"{name}: {setting_text(axis.low)} to {setting_text(axis.high)}{scale}")
    return "; ".join(text)


def _recipe(order: ShippingOrder) -> str:
    study = order.declaration
    fixed = study.dump()["recipe"]  # without what an axis sets
    if not study.recipe.clip and "clip" not in study.space.names():
        fixed = {name: value for name, value in fixed.items() if not name.startswith("clip_")}
    text = [f"{name} {setting_text(value)}" for name, value in fixed.items() if value is not None]
    return ", ".join([*text, f"data {study.data.type}"])


def _criterion(order: ShippingOrder) -> str:
    model = order.declaration.model
    if model is not None:
        return f"Stable means: {bands_text(order.criterion, _counted(order), model)}."
    sentences = [RESPONSES[letter].sentence(order.criterion) for letter in _counted(order)]
    return f"Stable means: {', and '.join(sentences)}."


def _counted(order: ShippingOrder) -> tuple[str, ...]:
    """Letters of the responses that count in at least some trials of the study."""
    steps = order.declaration.recipe.steps
    return order.criterion.responses_for(1 if "steps" in order.declaration.space.names() else steps)


def _cell(name: str, value: Value | None) -> str:
    if value is None:
        return ""
    return verdict_text(str(value)) if name == "verdict" else setting_text(value)


def _number(value: Value | None) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _within(note: str) -> str:
    """A note that MLflow takes: cut at a line's end."""
    if len(note) <= MAX_NOTE:
        return note
    return note[:MAX_NOTE].rpartition("\n")[0] + "\n\n..."
