"""The picture of a study: which trials are stable in the plane of init scale and depth, beside theory."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from pipeline.recipe import ACTIVATIONS
from pipeline.report.figures import Panel, stability_map
from pipeline.report.results import Results, Row
from pipeline.stability.theory import band_edges


def write_map(results: Results, path: Path) -> bool:
    """Write the study's map as a PNG; False where there is nothing to draw."""
    judged = [row for row in results.rows if row.interval_input is not None]
    activations = [name for name in ACTIVATIONS if any(_activation(row) == name for row in judged)]
    if not activations:
        return False
    panels = [_panel(results, name, [row for row in judged if _activation(row) == name]) for name in activations]
    title = f"{results.study.name}: {len(judged)} measured trials, width {results.study.recipe.width}"
    stability_map(title, panels, path)
    return True


def _panel(results: Results, activation: str, rows: list[Row]) -> Panel:
    scales: dict[str, list[float]] = {}
    depths: dict[str, list[int]] = {}
    for row in rows:
        if row.interval_input is not None:
            verdict = str(row.values["verdict"])
            scales.setdefault(verdict, []).append(row.interval_input.init_scale)
            depths.setdefault(verdict, []).append(row.interval_input.depth)
    tried = sorted({depth for group in depths.values() for depth in group})
    bias_scale = median(row.interval_input.bias_scale for row in rows if row.interval_input is not None)
    # at L = 1 R is 0 by definition, so there is no edge
    theory = {
        depth: band_edges(activation, bias_scale, depth, results.criterion.ratio_band) for depth in tried if depth > 1
    }
    return Panel(activation, scales, depths, theory)


def _activation(row: Row) -> str | None:
    return row.interval_input.activation if row.interval_input is not None else None
