"""Layer by step: what every layer of one trial did during its training, as pictures and as arrays.

Axes: P probe time, L hidden layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator
from numpy.typing import NDArray

from gradstab.display.colours import NOT_MEASURED
from gradstab.record.segments import Record
from gradstab.record.trajectory import FloatArray, Trajectory
from gradstab.system.durable import new_folder

FOLDER = "heat_maps"
_MOST_TICKS = 6


@dataclass(frozen=True)
class HeatMap:
    """One picture: its file name without extension, its title and colour bar, and the values."""

    name: str
    title: str
    unit: str
    value_PL: FloatArray
    limits: tuple[float, float] | None = None


def heat_maps(trajectory: Trajectory) -> list[HeatMap]:
    """Gradient norm, activation scale, and the saturated (or, where more units are dead, the dead) fraction.

    A statistic that the trajectory does not hold, because it came in a later version, has no picture.
    """
    dead = np.nansum(trajectory["dead_fraction"]) > np.nansum(trajectory["saturated_fraction"])
    kind = "dead" if dead or "saturated_fraction" not in trajectory else "saturated"
    scale_PL = 0.5 * trajectory["log10_activation_ms"]
    drawn = {
        "log10_delta_norm": HeatMap("grad_norm", "gradient norm", "log10 ||delta||", trajectory["log10_delta_norm"]),
        "log10_activation_ms": HeatMap("activation_scale", "activation scale", "log10 rms", scale_PL),
        f"{kind}_fraction": HeatMap(
            "saturated_or_dead", f"{kind} units", f"{kind} fraction", trajectory[f"{kind}_fraction"], (0.0, 1.0)
        ),
    }
    return [heat_map for statistic, heat_map in drawn.items() if statistic in trajectory]


def trial_folder(study_folder: Path, number: int) -> Path:
    """Where a trial's heat maps lie."""
    return study_folder / FOLDER / f"trial-{number:06d}"


def write_heat_maps(record: Record, study_folder: Path, canvas: Canvas) -> Path:
    """Write PNGs and `trial-NNNNNN.npz` (every statistic and `probe_step`) of a measured trial; returns their folder.

    The folder appears whole or not at all; one that is there is left as it is.
    """
    assert record.trajectory is not None
    target = trial_folder(study_folder, record.number)
    if target.exists():
        return target
    target.parent.mkdir(exist_ok=True)
    with new_folder(target) as partial:
        name = f"trial {record.number}: {record.recipe['activation']}, init scale {record.recipe['init_scale']:.3g}"
        for heat_map in heat_maps(record.trajectory):
            canvas.draw(heat_map, record.trajectory, f"{heat_map.title}, {name}", partial / f"{heat_map.name}.png")
        file = partial / f"{target.name}.npz"
        # numpy's stubs take **arrays for its keyword allow_pickle too
        np.savez_compressed(file, probe_step=record.trajectory.probe_step_P, **record.trajectory.series)  # type: ignore[arg-type]
    return target


def draw_layers(axes: Axes, heat_map: HeatMap, probe_step_P: NDArray[np.int64]) -> QuadMesh:
    """Draw layers upward from the input over optimizer steps; grey where nothing was measured."""
    value_LP = heat_map.value_PL.T.astype(np.float64)
    finite = value_LP[np.isfinite(value_LP)]
    low, high = heat_map.limits or ((float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0))
    high = high if high > low else low + 1.0
    step_edge, layer_edge = _edges(probe_step_P.astype(float)), np.arange(value_LP.shape[0] + 1) + 0.5
    # overflow and exact zeros are drawn at the ends of the scale
    value_LP = np.ma.masked_invalid(np.clip(value_LP, low, high))
    mesh = axes.pcolormesh(step_edge, layer_edge, value_LP, vmin=low, vmax=high, cmap="viridis", rasterized=True)
    axes.set_facecolor(NOT_MEASURED)
    axes.set_xlim(step_edge[0], step_edge[-1])
    axes.set_ylim(layer_edge[0], layer_edge[-1])
    axes.xaxis.set_major_locator(FixedLocator(probe_step_P.astype(float).tolist(), nbins=_MOST_TICKS))
    axes.yaxis.set_major_locator(MaxNLocator(_MOST_TICKS, integer=True))
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("layer (1 is next to the input)")
    return mesh


def _edges(place_P: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges of the cells around places: halfway to their neighbours."""
    if len(place_P) == 1:
        return np.array([place_P[0] - 0.5, place_P[0] + 0.5])
    middle = (place_P[:-1] + place_P[1:]) / 2
    return np.concatenate([[2 * place_P[0] - middle[0]], middle, [2 * place_P[-1] - middle[-1]]])


class Canvas:
    """One figure for any number of heat maps: new axes for each would cost more than drawing them."""

    def __init__(self) -> None:
        self._figure = Figure(figsize=(5.2, 3.6), dpi=110)
        FigureCanvasAgg(self._figure)
        self._axes = self._figure.add_axes((0.12, 0.15, 0.68, 0.74))
        self._bar_axes = self._figure.add_axes((0.83, 0.15, 0.03, 0.74))
        self._bar: Colorbar | None = None

    def draw(self, heat_map: HeatMap, trajectory: Trajectory, title: str, path: Path) -> None:
        """Draw one heat map into a PNG."""
        for old in list(self._axes.collections):
            old.remove()
        mesh = draw_layers(self._axes, heat_map, trajectory.probe_step_P)
        if self._bar is None:
            self._bar = self._figure.colorbar(mesh, cax=self._bar_axes)
        self._bar.update_normal(mesh)
        self._bar.set_label(heat_map.unit)
        self._axes.set_title(title, fontsize=9)
        self._figure.savefig(path)
