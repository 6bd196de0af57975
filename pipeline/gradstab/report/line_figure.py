"""A space of one numeric axis as a picture: both probabilities along it, and what was measured. Draws only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gradstab.display.verdict_styles import style_of
from gradstab.regression.coordinates import Array, Coordinates
from gradstab.report.axis_ticks import ticks
from gradstab.report.phase_figure import AXIS_NAMES, TRAINABLE

_LEAST_OF_A_GRID, _MOST_COLUMNS = 4, 4


@dataclass(frozen=True)
class LinePanel:
    """One line through the space.

    Attributes:
        unit_T: places along it.
        p_region_T, p_next_T: what is believed there.
        trial_K: indices of the measured trials on it.
        theory: places where the predicted R enters or leaves its band.
        trainable: places where the depth is 6 xi_c, along depth under T.
    """

    title: str
    unit_T: Array
    p_region_T: Array
    p_next_T: Array
    trial_K: NDArray[np.int64]
    theory: Array
    trainable: Array


def line_figure(
    coordinates: Coordinates, axis: str, panels: Sequence[LinePanel], label_N: Sequence[str], unit_N: Array, title: str
) -> bytes:
    """The figure as a PNG, one panel a combination of choices."""
    columns = 1 if len(panels) < _LEAST_OF_A_GRID else min(_MOST_COLUMNS, math.ceil(math.sqrt(len(panels))))
    rows = -(-len(panels) // columns)
    size = (7.0 if columns == 1 else 1.0 + 2.9 * columns, 1.1 + (1.9 if columns == 1 else 1.6) * rows)
    figure = Figure(figsize=size, layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    handles: dict[str, Artist] = {}
    for axes, panel in zip(grid.flat, panels, strict=False):
        handles |= _draw(axes, panel, label_N, unit_N)
        axes.set_xticks(*ticks(coordinates, axis))
        axes.tick_params(labelsize=8.5)
    for axes in grid.flat[len(panels) :]:
        axes.axis("off")
    for axes in grid[-1]:
        axes.set_xlabel(AXIS_NAMES.get(axis, axis), fontsize=10)
    figure.supylabel("probability", fontsize=10)
    figure.suptitle(title, fontsize=10.5)
    order = [*handles]
    figure.legend(
        handles=[handles[name] for name in order], loc="outside lower center", ncols=min(4, len(order)), frameon=False,
        fontsize=8,
    )  # fmt: skip
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradstab"})
    return buffer.getvalue()


def _draw(axes: Axes, panel: LinePanel, label_N: Sequence[str], unit_N: Array) -> dict[str, Artist]:
    """Draw a panel; what is to stand in the legend."""
    handles: dict[str, Artist] = {}
    axes.fill_between(panel.unit_T, 0, panel.p_region_T, color="#E4F4EC")
    (handles["p_region"],) = axes.plot(panel.unit_T, panel.p_region_T, color="black", label="p_region (the median)")
    (handles["p_next"],) = axes.plot(
        panel.unit_T, panel.p_next_T, color="#006B4E", linestyle=":", label="p_next (one new training)"
    )
    for place in panel.theory:
        handles["theory"] = axes.axvline(
            place, color="#7A0019", linewidth=1.2, linestyle=(0, (5, 2.5)), label="theory: |R| = R0"
        )
    for place in panel.trainable:
        handles["trainable"] = axes.axvline(
            place, color="#4B2E83", linewidth=1.2, linestyle=(0, (2, 1.5)), label=TRAINABLE
        )
    labels = np.array([label_N[index] for index in panel.trial_K], dtype=object)
    for label in dict.fromkeys(labels.tolist()):
        colour, marker = style_of(label)
        place_K = unit_N[panel.trial_K[labels == label]]
        height_K = np.full(len(place_K), 1.06 if label in {"stable", "in band"} else -0.06)
        handles[label] = axes.scatter(
            place_K, height_K, c=colour, marker=marker, s=10, linewidths=0.7, alpha=0.7, label=label.replace("_", " ")
        )
    axes.set_ylim(-0.12, 1.12)
    axes.set_xlim(0, 1)
    axes.set_yticks([0, 0.5, 1])
    axes.set_title(panel.title, fontsize=9)
    return handles
