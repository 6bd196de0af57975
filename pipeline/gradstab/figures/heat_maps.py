"""Layer by step: what every layer of one trial did during its training, as pictures and as arrays.

Axes: P probe time, L hidden layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradstab.display.numbers import setting_text
from gradstab.figures.colour_scale import DECADES, FRACTIONS, ColourScale
from gradstab.figures.heat_map_picture import heat_map_png
from gradstab.record.network_settings import is_of_module
from gradstab.record.segments import Record
from gradstab.record.trajectory import FloatArray, Trajectory
from gradstab.stability.depth_profile import relative_over_training
from gradstab.system.durable import new_folder

FOLDER = "heat_maps"


@dataclass(frozen=True)
class HeatMap:
    """One picture: its file name without extension, its title, what stands beside its colour bar, and the values."""

    name: str
    title: str
    unit: str
    value_PL: FloatArray
    scale: ColourScale


def heat_maps(trajectory: Trajectory) -> list[HeatMap]:
    """Gradient norm, activation scale, and the saturated (or, where more units are dead, the dead) fraction.

    Each kind has one colour scale for all trials. That of gradients is white where they are as large as at the last
    layer, that of activations where their root mean square is 1.

    A statistic that the trajectory does not hold, or that was measured nowhere, has no picture.
    """
    dead = np.nansum(trajectory["dead_fraction"]) > np.nansum(trajectory["saturated_fraction"])
    kind = "dead" if dead or "saturated_fraction" not in trajectory else "saturated"
    scale_PL = 0.5 * trajectory["log10_activation_ms"]
    drawn = {
        "log10_delta_norm": HeatMap(
            "grad_norm",
            "gradient norm",
            "decades above the last layer's",
            relative_over_training(trajectory["log10_delta_norm"]),
            DECADES,
        ),
        "log10_activation_ms": HeatMap("activation_scale", "activation scale", "log10 rms", scale_PL, DECADES),
        f"{kind}_fraction": HeatMap(
            "saturated_or_dead", f"{kind} units", f"{kind} fraction", trajectory[f"{kind}_fraction"], FRACTIONS
        ),
    }
    return [heat_map for name, heat_map in drawn.items() if name in trajectory and not np.isnan(trajectory[name]).all()]


def trial_folder(study_folder: Path, number: int) -> Path:
    """Where a trial's heat maps lie."""
    return study_folder / FOLDER / f"trial-{number:06d}"


def write_heat_maps(record: Record, study_folder: Path) -> Path:
    """Write PNGs and `trial-NNNNNN.npz` (every statistic and `probe_step`) of a measured trial; returns their folder.

    The folder appears whole or not at all; one that is there is left as it is.
    """
    assert record.trajectory is not None
    target = trial_folder(study_folder, record.number)
    if target.exists():
        return target
    target.parent.mkdir(exist_ok=True)
    with new_folder(target) as partial:
        write_maps_and_arrays(
            record.trajectory, partial, f"trial {record.number}: {_network_text(record)}", f"{target.name}.npz"
        )
    return target


def write_maps_and_arrays(trajectory: Trajectory, folder: Path, title: str, arrays: str) -> None:
    """Write a PNG for each heat map, and every statistic and `probe_step` as a file of the name `arrays`."""
    for heat_map in heat_maps(trajectory):
        png = _picture(heat_map, trajectory.probe_step_P, title)
        (folder / f"{heat_map.name}.png").write_bytes(png)
    # numpy's stubs take **arrays for its keyword allow_pickle too
    np.savez_compressed(folder / arrays, probe_step=trajectory.probe_step_P, **trajectory.series)  # type: ignore[arg-type]


def _network_text(record: Record) -> str:
    if is_of_module(record.recipe):
        return ", ".join(f"{name.replace('_', ' ')} {setting_text(value)}" for name, value in record.point.items())
    recipe = record.recipe
    return f"{recipe['activation']}, {recipe['depth']} layers, init scale {recipe['init_scale']:.3g}"


def _picture(heat_map: HeatMap, probe_step_P: NDArray[np.int64], trial: str) -> bytes:
    return heat_map_png(
        heat_map.value_PL,
        heat_map.scale,
        step_edges(probe_step_P),
        probe_step_P.tolist(),
        title=f"{heat_map.title}, {trial}",
        unit=heat_map.unit,
    )


def step_edges(probe_step_P: NDArray[np.int64]) -> NDArray[np.float64]:
    """Edges of the cells around the probe times: halfway to their neighbours."""
    place_P = probe_step_P.astype(float)
    if len(place_P) == 1:
        return np.array([place_P[0] - 0.5, place_P[0] + 0.5])
    middle = (place_P[:-1] + place_P[1:]) / 2
    return np.concatenate([[2 * place_P[0] - middle[0]], middle, [2 * place_P[-1] - middle[-1]]])
