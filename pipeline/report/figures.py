"""Figures of a study: measured trials by verdict, theory dashed beside them. Draws, and computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipeline.stability.criterion import VERDICTS
from pipeline.stability.theory import BandEdges

# Okabe and Ito's colours, told apart by the colour-blind; markers tell verdicts apart in print
STYLES: dict[str, tuple[str, str]] = {
    "stable": ("#009E73", "o"),
    "vanishing": ("#0072B2", "v"),
    "exploding": ("#D55E00", "^"),
    "diverged": ("#000000", "x"),
    "untrainable": ("#CC79A7", "s"),
    "partial": ("#E69F00", "D"),
    "trained_off_phase": ("#56B4E9", "P"),
}


@dataclass(frozen=True)
class Panel:
    """One activation's plane of init scale and depth.

    Attributes:
        scales_by_verdict, depths_by_verdict: coordinates of the measured trials.
        theory: predicted band of R by depth.
    """

    title: str
    scales_by_verdict: Mapping[str, Sequence[float]]
    depths_by_verdict: Mapping[str, Sequence[int]]
    theory: Mapping[int, BandEdges]


def stability_map(title: str, panels: Sequence[Panel], path: Path) -> None:
    """Write a PNG of one panel an activation."""
    figure = Figure(figsize=(1.2 + 3.6 * len(panels), 4.4), layout="constrained", dpi=130)
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=True):
        _draw(axis, panel)
    axes[0].set_ylabel("hidden layers")
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    order = [name for name in (*VERDICTS, "theory: |R| = R0") if name in handles]
    figure.legend(
        [handles[name] for name in order],
        order,
        loc="outside lower center",
        ncols=len(order),
        frameon=False,
        fontsize=8,
    )
    figure.suptitle(title, fontsize=10)
    figure.savefig(path)


def _draw(axis: Axes, panel: Panel) -> None:
    for verdict, scales in panel.scales_by_verdict.items():
        colour, marker = STYLES[verdict]
        axis.scatter(
            scales, panel.depths_by_verdict[verdict], s=14, c=colour, marker=marker, linewidths=0.8, alpha=0.8,
            label=verdict,
        )  # fmt: skip
    for side in ("lower", "upper"):
        known = [(getattr(edges, side), depth) for depth, edges in panel.theory.items() if getattr(edges, side)]
        if known:
            axis.plot(*zip(*known, strict=True), "--", color="#444444", linewidth=1.2, label="theory: |R| = R0")
    axis.set_xscale("log")
    axis.set_yscale("log", base=2)
    every = [scale for scales in panel.scales_by_verdict.values() for scale in scales]
    axis.set_xlim(min(every) / 1.05, max(every) * 1.05)
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_formatter("{x:g}")
    axis.set_title(panel.title, fontsize=10)
    axis.set_xlabel(r"init scale $\sigma_w$")
