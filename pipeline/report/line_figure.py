"""A space of one numeric axis as a picture: both probabilities along it, and what was measured. Draws only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.report.axis_ticks import ticks
from pipeline.report.phase_figure import AXIS_NAMES, MARKS
from pipeline.stability.coordinates import Array, Coordinates


@dataclass(frozen=True)
class LinePanel:
    """One line through the space.

    Attributes:
        unit_T: places along it.
        p_region_T, p_next_T: what is believed there.
        trial_K: indices of the measured trials on it.
    """

    title: str
    unit_T: Array
    p_region_T: Array
    p_next_T: Array
    trial_K: NDArray[np.int64]


def line_figure(
    coordinates: Coordinates, axis: str, panels: Sequence[LinePanel], label_N: Sequence[str], unit_N: Array
) -> bytes:
    """The figure as a PNG, one panel a combination of choices."""
    figure = Figure(figsize=(7.0, 0.9 + 1.9 * len(panels)), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    handles = {}
    for axes, panel in zip(figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0], panels, strict=True):
        axes.fill_between(panel.unit_T, 0, panel.p_region_T, color="#E4F4EC")
        (handles["p_region"],) = axes.plot(panel.unit_T, panel.p_region_T, color="black", label="p_region (the median)")
        (handles["p_next"],) = axes.plot(
            panel.unit_T, panel.p_next_T, color="#006B4E", linestyle=":", label="p_next (one new training)"
        )
        labels = np.array([label_N[index] for index in panel.trial_K], dtype=object)
        for label in dict.fromkeys(labels.tolist()):
            colour, marker = MARKS[label]
            place_K = unit_N[panel.trial_K[labels == label]]
            height = 1.06 if label in {"stable", "in band"} else -0.06
            handles[label] = axes.scatter(
                place_K, np.full(len(place_K), height), c=colour, marker=marker, s=14, linewidths=0.7, alpha=0.7,
                label=label.replace("_", " "),
            )  # fmt: skip
        axes.set_ylim(-0.12, 1.12)
        axes.set_xlim(0, 1)
        axes.set_title(panel.title, fontsize=9.5)
        axes.set_xticks(*ticks(coordinates, axis))
    axes.set_xlabel(AXIS_NAMES.get(axis, axis))
    figure.supylabel("probability", fontsize=10)
    figure.legend(handles=list(handles.values()), loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradstab"})
    return buffer.getvalue()
