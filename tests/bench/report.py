"""The table, the JSON and the plot of a benchmark."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.measure import Row, median_and_range

_WIDTH_ROW = re.compile(r"(bare loop|gradstab|peer), width (\d+)$")


def print_table(rows: Sequence[Row], console: Console) -> None:
    """One line a row: n, median, min-max, ratio with its min-max, goal, note."""
    table = Table(box=None, pad_edge=False)
    for heading in ("section", "what", "unit", "n", "median", "min-max", "ratio", "min-max", "goal", "note"):
        table.add_column(heading, justify="right" if heading in ("n", "median", "min-max", "ratio") else "left")
    for row in rows:
        ratios = _shown(row.ratios) if row.ratios else ("", "")
        table.add_row(
            row.section, row.name, row.unit, str(len(row.values)), *_shown(row.values), *ratios, row.goal, row.note
        )
    console.print(table)


def write_json(rows: Sequence[Row], facts: dict[str, Any], path: Path) -> None:
    """All rows with their single values, and what they were measured on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"facts": facts, "rows": [{**asdict(row), **_summary(row)} for row in rows]}
    path.write_text(json.dumps(content, indent=1))


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


def _shown(values: Sequence[float]) -> tuple[str, str]:
    median, low, high = median_and_range(values)
    return f"{median:.3g}", f"{low:.3g}-{high:.3g}"


def _summary(row: Row) -> dict[str, float | int]:
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
