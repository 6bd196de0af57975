"""One training as a figure: its loss over the steps, and layer by step what the probes read.

Axes: S optimizer step, P probe time, L hidden layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import NDArray

from gradstab.display.colours import FIRST, NOT_MEASURED
from gradstab.errors import UsageError
from gradstab.figures.axis_scales import layer_ticks, set_round_ticks, spread
from gradstab.figures.colour_scale import FRACTIONS, own_scale
from gradstab.figures.heat_maps import HeatMap, heat_maps, step_edges
from gradstab.figures.scaffold import PANEL_TITLE, panel_grid
from gradstab.record.statistics.registry import STATISTICS
from gradstab.record.trajectory import Trajectory

_COLUMNS = 2
_MOST_TICKS = 6


def trajectory_figure(
    trajectory: Trajectory, statistics: Sequence[str] = (), title: str = "", ax: Axes | None = None
) -> Figure:
    """The named statistics, one panel each, over optimizer steps; per layer where they are read per layer.

    Args:
        statistics: names of the registry of statistics; by default the loss, the gradient norm, the activation scale
            and the saturated or dead units.
        ax: the user's axes, for one statistic.

    Raises:
        UsageError: there is no such statistic, the trial was recorded without it, or several are given for one `ax`.
    """
    unknown = [name for name in statistics if name not in STATISTICS]
    if unknown:
        raise UsageError(f"a statistic must be one of {', '.join(STATISTICS)}, got {', '.join(unknown)}")
    missing = [name for name in statistics if name not in trajectory]
    if missing:
        raise UsageError(
            f"this trial was recorded by a version that did not measure {', '.join(missing)}: "
            f"name one of {', '.join(trajectory.series)}"
        )
    if ax is not None and len(statistics) != 1:
        raise UsageError(f"ax takes one statistic, got {len(statistics)}: name one of {', '.join(STATISTICS)}")
    drawn: list[HeatMap | str] = [_layer_map(trajectory, name) for name in statistics]
    if not drawn:
        drawn = ["loss" if trajectory.steps else "probe_loss", *heat_maps(trajectory)]
    grid = panel_grid(len(drawn), _COLUMNS, ax, panel=(4.0, 2.9), margin=(0.4, 0.5), shared=False)
    for axes, each in zip(grid.panels, drawn, strict=True):
        if isinstance(each, HeatMap):
            mesh = _draw_layers(axes, each, trajectory.probe_step_P)
            ticks = each.scale.ticks()
            bar = grid.figure.colorbar(mesh, ax=axes, label=each.unit, ticks=[tick.value for tick in ticks])
            bar.set_ticklabels([tick.text for tick in ticks])
            axes.set_title(each.title, fontsize=PANEL_TITLE)
        else:
            _draw_series(axes, trajectory, each)
    if grid.is_own:
        grid.figure.suptitle(title)
    return grid.figure


def _layer_map(trajectory: Trajectory, name: str) -> HeatMap | str:
    """A heat map of a statistic that is read per layer, else its name."""
    statistic = STATISTICS[name]
    if statistic.axes != "PL":
        return name
    scale = FRACTIONS if name.endswith("_fraction") else own_scale(trajectory[name])
    return HeatMap(name, name.replace("_", " "), statistic.unit, trajectory[name], scale)


def _draw_layers(axes: Axes, heat_map: HeatMap, probe_step_P: NDArray[np.int64]) -> QuadMesh:
    """Draw layers upward from the input over optimizer steps; grey where nothing was measured."""
    value_LP = heat_map.value_PL.T.astype(np.float64)
    scale = heat_map.scale
    step_edge, layer_edge = step_edges(probe_step_P), np.arange(value_LP.shape[0] + 1) + 0.5
    # overflow and exact zeros are drawn at the ends of the scale
    value_LP = np.ma.masked_invalid(np.clip(value_LP, scale.low, scale.high))
    colours = ListedColormap(scale.bar() / 255)
    mesh = axes.pcolormesh(
        step_edge, layer_edge, value_LP, vmin=scale.low, vmax=scale.high, cmap=colours, rasterized=True
    )
    axes.set_facecolor(NOT_MEASURED)
    axes.set_xlim(step_edge[0], step_edge[-1])
    axes.set_ylim(layer_edge[0], layer_edge[-1])
    named = [float(probe_step_P[index]) for index in spread(len(probe_step_P), _MOST_TICKS)]
    axes.xaxis.set_major_locator(FixedLocator(named))
    axes.yaxis.set_major_locator(FixedLocator([float(layer) for layer in layer_ticks(value_LP.shape[0])]))
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("layer (1 is next to the input)")
    return mesh


def _guessing(trajectory: Trajectory) -> str:
    return "best constant prediction" if trajectory.taps else "entropy of the labels"


def _draw_series(axes: Axes, trajectory: Trajectory, name: str) -> None:
    statistic = STATISTICS[name]
    value = trajectory[name]
    step = np.arange(trajectory.steps) if statistic.axes == "S" else trajectory.probe_step_P
    finite = value[np.isfinite(value)]
    axes.plot(step, value, color=FIRST, linewidth=1.2, marker="." if len(value) < 20 else None, label=name)
    if name in ("loss", "probe_loss"):
        axes.axhline(
            trajectory.reference_loss, color="black", linewidth=0.8, linestyle=":", label=_guessing(trajectory)
        )
    if finite.size and finite.min() > 0 and math.log10(finite.max() / finite.min()) > 1:
        axes.set_yscale("log")
        set_round_ticks(axes.yaxis, is_log=True, is_whole=False)
        axes.yaxis.set_minor_locator(NullLocator())
    set_round_ticks(axes.xaxis, is_log=False, is_whole=True)
    axes.set_title(name.replace("_", " "), fontsize=PANEL_TITLE)
    axes.set_xlabel("optimizer step")
    axes.set_ylabel(statistic.unit)
