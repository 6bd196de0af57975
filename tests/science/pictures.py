"""The pictures of docs/why_gradients_explode.md, from the results of the shipped studies.

python -m tests.science.pictures RESULTS draws docs/pictures anew.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gradstab.results.results import Results
from gradstab.theory.critical_scales import band_edges, critical_init_scale, log_lengths
from gradstab.theory.forecast import scale_forecast
from gradstab.theory.layer_maps import chi_1
from tests.science.answers import results_of
from tests.science.critical_lines import EXPECTED, LEVELS, lines

if TYPE_CHECKING:
    import pandas as pd

PICTURES = Path(__file__).parent.parent.parent / "docs" / "pictures"

# Okabe and Ito's colours; markers tell kinds apart in print
STYLES = {"relu": ("#D55E00", "^"), "tanh": ("#0072B2", "o"), "sigmoid": ("#009E73", "s")}
LEVEL_STYLES = {-1.0: ("#0072B2", "v"), 0.0: ("#000000", "o"), 1.0: ("#D55E00", "^")}
OUTCOMES = {
    "trained": ("#009E73", "o"), "partial": ("#E69F00", "D"), "untrained": ("#999999", "s"), "diverged": ("#000000", "x"),
}  # fmt: skip


def main() -> None:
    """Draw every picture."""
    root = Path(sys.argv[1])
    critical_lines_picture(results_of("critical_lines", root), results_of("gelu_jump", root))
    gain_picture(results_of("sigmoid_explodes", root).trials, results_of("relu_or_sigmoid", root).trials)
    clip_picture(results_of("clip_rescue", root))
    depth_picture(results_of("trainable_depth", root).trials)


def critical_lines_picture(wide: Results, jump: Results) -> None:
    """Measured init scales of R = -1, 0, +1 with their intervals on theory's lines."""
    figure = _figure(11.5, 4.0)
    found = lines(wide, jump)
    depths = np.unique(np.geomspace(4, 60, 40).round().astype(int))
    for axes, activation in zip(figure.subplots(1, 4, sharey=True), EXPECTED, strict=True):
        predicted = [band_edges(activation, 0.05, int(depth)) for depth in depths]
        for index, (level, side) in enumerate(zip(LEVELS, ("lower", "centre", "upper"), strict=True)):
            colour, marker = LEVEL_STYLES[level]
            axes.plot([getattr(edges, side) for edges in predicted], depths, "--", color=colour, linewidth=1)
            for depth in EXPECTED[activation]:
                three = found[activation, depth]
                if three is not None:
                    low, high = three[index].interval
                    axes.plot([low, high], [depth, depth], color=colour, linewidth=1.5)
                    axes.plot(
                        three[index].value,
                        depth,
                        marker,
                        color=colour,
                        markersize=6,
                        label=f"R = {level:+g}" if level else "R = 0",
                    )
        _log_axes(axes, activation, [0.5, 1, 2, 5] if activation != "sigmoid" else [3, 5, 10, 20, 40])
        axes.set_yscale("log")
        axes.set_yticks([5, 10, 20, 50], ["5", "10", "20", "50"])
        axes.minorticks_off()
    figure.axes[0].set_ylabel("hidden layers")
    _finish(figure, "Measured (marks, 95 %) and predicted (dashed) init scales, width 256", "critical_lines.png")


def gain_picture(sigmoid: pd.DataFrame, others: pd.DataFrame) -> None:
    """Factor of the gradient a layer against init scale, absolute and relative to each activation's critical one."""
    figure = _figure(10.5, 4.3)
    for axes, relative in zip(figure.subplots(1, 2, sharey=True), (False, True), strict=True):
        for activation, (colour, marker) in STYLES.items():
            trials = sigmoid if activation == "sigmoid" else others[others["activation"] == activation]
            deep = trials[trials["depth"] >= 8]
            unit = critical_init_scale(activation, 0.0) if relative else 1.0
            scale = deep["init_scale"].to_numpy(dtype=float)
            gain = np.exp(deep["rate"].to_numpy(dtype=float))
            axes.plot(scale / unit, gain, marker, color=colour, markersize=3, alpha=0.5, label=activation)
            grid = np.geomspace(scale.min(), scale.max(), 60)
            axes.plot(
                grid / unit, [_settled_gain(activation, value) for value in grid], "-", color="black", linewidth=0.9
            )
        axes.axhline(1, color="#777777", linewidth=0.8)
        _log_axes(axes, "", [0.3, 1, 2, 4] if relative else [0.3, 1, 1.41, 4, 10.15, 40])
        axes.set_xlabel(
            "init scale, relative to the activation's critical one" if relative else r"init scale $\sigma_w$"
        )
        axes.set_yscale("log")
        axes.set_yticks([0.2, 0.5, 1, 2], ["0.2", "0.5", "1", "2"])
        axes.minorticks_off()
    figure.axes[0].set_ylabel("factor of the gradient a layer")
    _finish(figure, "Above 1 gradients explode toward the input, below 1 they vanish (lines: theory)", "gain.png")


def clip_picture(results: Results) -> None:
    """How ReLU networks end without and with clipping, over init scale and depth."""
    trials = results.trials
    clipped = trials["clip"].astype(bool)
    near_one = clipped & trials["clip_threshold"].between(0.3, 10)
    figure = _figure(10.5, 4.4)
    depths = np.arange(4, 33)
    edges = [band_edges("relu", 0.0, int(depth)) for depth in depths]
    shown = {"no clipping": ~clipped, "clipped at .3 to 10": near_one, "clipped at .03 to .3": clipped & ~near_one}
    for axes, (title, chosen) in zip(figure.subplots(1, 3, sharey=True), shown.items(), strict=True):
        for outcome, (colour, marker) in OUTCOMES.items():
            near = trials[chosen & (trials["outcome"] == outcome)]
            axes.scatter(
                near["init_scale"], near["depth"], s=14, c=colour, marker=marker, linewidths=0.9, label=outcome
            )
        for side in ("lower", "upper"):
            axes.plot([getattr(edge, side) for edge in edges], depths, "--", color="#444444", label="theory: |R| = 1")
        _log_axes(axes, f"{title} (n = {int(chosen.sum())})", [1, 1.41, 2, 3])
        axes.set_xlim(0.88, 3.05)
        axes.set_yscale("log")
        axes.set_yticks([4, 8, 16, 32], ["4", "8", "16", "32"])
        axes.minorticks_off()
    figure.axes[0].set_ylabel("hidden layers")
    _finish(
        figure,
        "ReLU, SGD .1, 200 steps: clipping saves what would diverge, and nothing that vanishes",
        "clip_rescue.png",
    )


def depth_picture(trials: pd.DataFrame) -> None:
    """Accuracy after training over sigma_w^2 and depth, and six depth scales."""
    figure = _figure(7.5, 4.6)
    axes = figure.subplots()
    squared = trials["init_scale"].to_numpy(dtype=float) ** 2
    marks = axes.scatter(squared, trials["depth"], c=trials["accuracy"], s=26, cmap="cividis", vmin=0, vmax=1)
    grid = np.geomspace(0.66, 5.3, 160)
    six = [scale_forecast("tanh", math.sqrt(value), math.sqrt(0.05), 20).trainable_depth for value in grid]
    axes.plot(
        grid, [math.nan if depth is None or depth > 1e3 else depth for depth in six], "k--", label=r"theory: $6\,\xi_c$"
    )
    _log_axes(axes, "", [0.7, 1, 1.3, 1.76, 2.4, 3, 4, 5])
    axes.set_xlabel(r"$\sigma_w^2$")
    axes.set_yscale("log")
    axes.set_ylim(5.7, 102)
    axes.set_yticks([6, 12, 24, 48, 96], ["6", "12", "24", "48", "96"])
    axes.minorticks_off()
    axes.set_ylabel("hidden layers")
    figure.colorbar(marks, label="accuracy after 200 steps")
    _finish(figure, f"tanh, sigma_b^2 = .05: {len(trials)} trained networks", "trainable_depth.png")


def _settled_gain(activation: str, init_scale: float) -> float:
    """Square root of the mean chi_1 over the layers from the 8th to the 16th of a wide network."""
    if activation == "relu":
        return init_scale / math.sqrt(2)
    log_q_L = log_lengths(activation, init_scale, 0.0, 16)[0][8:]
    return math.exp(np.mean([0.5 * math.log(chi_1(activation, init_scale, math.exp(q))) for q in log_q_L]))


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained", dpi=130)
    FigureCanvasAgg(figure)
    return figure


def _log_axes(axes: Axes, title: str, ticks: list[float]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(r"init scale $\sigma_w$")


def _finish(figure: Figure, title: str, name: str) -> None:
    handles = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    figure.savefig(PICTURES / name, metadata={"Software": "gradstab"})


if __name__ == "__main__":
    main()
