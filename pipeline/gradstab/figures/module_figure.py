"""The depth profile of a user's own module. Draws only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gradstab.display.colours import AREAS, FIRST
from gradstab.record.trajectory import FloatArray

_MOST_NAMES = 24


def module_figure(
    layers: Sequence[str], log10_delta_norm_L: FloatArray, title: str, ratio_band: float, path: Path
) -> None:
    """Write a PNG: the gradient at each hidden layer in decades above the last one's, and the stable band."""
    figure = Figure(figsize=(7.0, 4.2), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    place_L = np.arange(1, len(layers) + 1)
    relative_L = log10_delta_norm_L - log10_delta_norm_L[-1]
    axes.axhspan(-ratio_band, ratio_band, color=AREAS["stable"], zorder=0, label=f"|R| < {ratio_band:g}: stable")
    axes.plot(place_L, relative_L, "o-", color=FIRST, markersize=4, linewidth=1.4, label="this module")
    every = -(-len(layers) // _MOST_NAMES)
    axes.set_xticks(place_L[::every], list(layers)[::every], rotation=60, ha="right", fontsize=7)
    axes.set_xlabel("hidden layer, from the inputs to the readout")
    axes.set_ylabel("log10 gradient norm, above the last layer's")
    axes.set_title(title, fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path)
