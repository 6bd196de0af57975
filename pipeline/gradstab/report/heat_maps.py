"""Layer by step: what every layer of one trial did during its training, as pictures and as arrays.

Axes: P probe time, L hidden layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gradstab.record.segments import Record
from gradstab.record.trajectory import FloatArray, Trajectory
from gradstab.system.durable import new_folder

FOLDER = "heat_maps"
_UNMEASURED = "#e6e6e6"
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


class Canvas:
    """One figure for any number of heat maps: making its axes anew costs more than drawing them."""

    def __init__(self) -> None:
        self._figure = Figure(figsize=(5.2, 3.6), dpi=110)
        FigureCanvasAgg(self._figure)
        self._axis = self._figure.add_axes((0.12, 0.15, 0.68, 0.74))
        self._axis.set_facecolor(_UNMEASURED)
        self._axis.set_xlabel("optimizer step")
        self._axis.set_ylabel("layer (1 is next to the input)")
        self._image = self._axis.imshow([[0.0]], origin="lower", aspect="auto", cmap="viridis")
        self._bar = self._figure.colorbar(self._image, cax=self._figure.add_axes((0.83, 0.15, 0.03, 0.74)))

    def draw(self, heat_map: HeatMap, trajectory: Trajectory, title: str, path: Path) -> None:
        """Draw one heat map: steps to the right, layers upward from the input; grey where nothing was measured."""
        value_LP = heat_map.value_PL.T.astype(np.float64)
        finite = value_LP[np.isfinite(value_LP)]
        low, high = heat_map.limits or ((float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0))
        high = high if high > low else low + 1.0
        depth, num_probes = value_LP.shape
        # overflow and exact zeros are drawn at the ends of the scale
        self._image.set_data(np.ma.masked_invalid(np.clip(value_LP, low, high)))
        self._image.set_extent((-0.5, num_probes - 0.5, -0.5, depth - 0.5))
        self._image.set_clim(low, high)
        columns, rows = _ticks(num_probes), _ticks(depth)
        self._axis.set_xticks(columns, [str(trajectory.probe_step_P[column]) for column in columns])
        self._axis.set_yticks(rows, [str(row + 1) for row in rows])
        self._axis.set_title(title, fontsize=9)
        self._bar.set_label(heat_map.unit)
        self._figure.savefig(path)


def _ticks(count: int) -> list[int]:
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, _MOST_TICKS))})
