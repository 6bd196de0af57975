"""The table, the verdicts, the JSON and the plot of a benchmark, and the same as Markdown."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.measure import Row, Verdict, median_and_range

_WIDTH_ROW = re.compile(r"(bare loop|gradstab|peer), width (\d+)$")


def print_table(rows: Sequence[Row], console: Console) -> None:
    """One line a row: n, median, min-max, ratio with its min-max, goal, floor, whether they are met, note."""
    table = Table(box=None, pad_edge=False)
    for heading in (*_HEADINGS, "note"):
        table.add_column(heading, justify="right" if heading in _NUMBERS else "left")
    for row in rows:
        table.add_row(*_cells(row), row.note, style=None if row.verdict is None else _STYLES.get(row.verdict))
    console.print(table)


def print_verdicts(rows: Sequence[Row], console: Console) -> None:
    """Every goal and floor that is missed, floors first and loudly; how many goals are met."""
    judged = [row for row in rows if row.verdict is not None]
    for verdict, heading in ((Verdict.FLOOR_MISSED, "FLOORS MISSED"), (Verdict.GOAL_MISSED, "Goals missed")):
        missed = [row for row in judged if row.verdict is verdict]
        if missed:
            console.print(f"{heading} ({len(missed)}):", style=_STYLES[verdict])
        for row in missed:
            console.print(f"  {_sentence(row)}", style=_STYLES[verdict], soft_wrap=True, highlight=False)
    num_met = sum(row.verdict is Verdict.MET for row in judged)
    console.print(f"{num_met} of {len(judged)} goals met.")


def markdown(rows: Sequence[Row]) -> str:
    """One table for each section, as docs/speed.md has them."""
    lines: list[str] = []
    for section in dict.fromkeys(row.section for row in rows):
        lines += [
            f"### {section}",
            "",
            *(f"| {' | '.join(cells)} |" for cells in (_HEADINGS[1:], ["---"] * len(_HEADINGS[1:]))),
        ]
        lines += [f"| {' | '.join(_cells(row)[1:])} |" for row in rows if row.section == section]
        lines.append("")
    return "\n".join(lines)


def write_json(rows: Sequence[Row], facts: dict[str, Any], path: Path) -> None:
    """All rows with their single values, and what they were measured on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"facts": facts, "rows": [{**row.dump(), **_summary(row)} for row in rows]}
    path.write_text(json.dumps(content, indent=1))


def read_rows(path: Path) -> list[Row]:
    """The rows that `write_json` wrote."""
    names = [field.name for field in fields(Row)]
    return [Row.load({name: stored[name] for name in names}) for stored in json.loads(path.read_text())["rows"]]


def machine() -> dict[str, Any]:
    """What a figure depends on beside the commit."""
    import torch

    from gradstab.system.provenance import git_commit, versions

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "vector_unit": torch.backends.cpu.get_cpu_capability(),
        "system": platform.system(),
        "load_before": round(os.getloadavg()[0], 2),
        "commit": git_commit(),
        "versions": versions(),
    }


def draw(rows: Sequence[Row], path: Path) -> None:
    """Trials a second and core against width: the peer, the bare loop, gradstab."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    series: dict[str, dict[int, tuple[float, float, float]]] = {}
    for row in rows:
        found = _WIDTH_ROW.match(row.name)
        if found and row.section == "width":
            series.setdefault(found[1], {})[int(found[2])] = median_and_range(row.values)
        if row.name == "peer, as people write it":
            cores = os.cpu_count() or 1
            series.setdefault("peer", {})[64] = median_and_range([value / cores for value in row.values])
    if not series:
        return
    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    for name, points in series.items():
        widths = sorted(width for width in points if width != 1024)  # shallower networks there
        medians = [points[width][0] for width in widths]
        below = [points[width][0] - points[width][1] for width in widths]
        above = [points[width][2] - points[width][0] for width in widths]
        axes.errorbar(widths, medians, yerr=[below, above], marker="o", capsize=3, label=_LABELS[name])
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(mpl.ticker.ScalarFormatter())
    axes.set_xlabel("width (units in a hidden layer)")
    axes.set_ylabel("trials/s per core (median, min-max)")
    axes.set_title("Study T: 2 to 30 linear layers, 100 steps")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


_LABELS = {
    "gradstab": "gradstab, training",
    "bare loop": "bare PyTorch loop",
    "peer": "Ray Tune + OptunaSearch + MLflow (whole line)",
}


_HEADINGS = ("section", "what", "unit", "n", "median", "min-max", "ratio", "min-max", "goal", "floor", "")
_NUMBERS = ("n", "median", "min-max", "ratio")
_STYLES = {Verdict.GOAL_MISSED: "yellow", Verdict.FLOOR_MISSED: "bold red"}


def _cells(row: Row) -> list[str]:
    values, ratios = (_shown(numbers) if numbers else ("", "") for numbers in (row.values, row.ratios))
    goal = ("", "") if row.goal is None else (row.goal.shown(row.goal.goal), row.goal.shown(row.goal.floor))
    return [
        row.section,
        row.name,
        row.unit,
        str(len(row.values)),
        *values,
        *ratios,
        *goal,
        "" if row.verdict is None else str(row.verdict),
    ]


def _sentence(row: Row) -> str:
    assert row.goal is not None
    found, spread = _shown(row.ratios or row.values)
    what = f"times {row.against}" if row.ratios else row.unit
    floor = "" if row.goal.floor is None else f", floor {row.goal.shown(row.goal.floor)}"
    return f"{row.section}: {row.name}: {found} {what} ({spread}); goal {row.goal.shown(row.goal.goal)}{floor}"


def _shown(values: Sequence[float]) -> tuple[str, str]:
    median, low, high = median_and_range(values)
    return f"{median:.3g}", f"{low:.3g}{' to ' if low < 0 else '-'}{high:.3g}"


def _summary(row: Row) -> dict[str, float | int]:
    if not row.values:
        return {"n": 0}
    median, low, high = median_and_range(row.values)
    summary: dict[str, float | int] = {"n": len(row.values), "median": median, "min": low, "max": high}
    if row.ratios:
        summary["ratio_median"], summary["ratio_min"], summary["ratio_max"] = median_and_range(row.ratios)
    return summary


def _processor() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor()
