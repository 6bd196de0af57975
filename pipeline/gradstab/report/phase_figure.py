"""The phase diagram as a picture: probabilities as colours, trials, boundaries and theory on them. Draws only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from gradstab.display.verdict_styles import STYLES, style_of
from gradstab.regression.coordinates import Array
from gradstab.report.axis_ticks import ticks
from gradstab.report.panels import Panel
from gradstab.stability.phase_diagram import LEVELS

AXIS_NAMES = {
    "init_scale": r"init scale $\sigma_w$",
    "relative_init_scale": r"init scale / critical $\sigma_w$",
    "bias_scale": r"bias scale $\sigma_b$",
    "depth": "hidden layers",
    "width": "units a layer",
    "learning_rate": "learning rate",
    "clip_threshold": "clip threshold",
}
# pale, for areas: what lies there more likely than not. Stable is the lightest, so that print tells it
AREAS = {
    "stable": "#E4F4EC",
    "vanishing": "#A9CBE3",
    "exploding": "#EFBE98",
    "untrained": "#E6CFE0",
    "diverged": "#B4B4B4",
}
TRAINABLE = r"theory: depth = 6 $\xi_c$"
_FINE = 240


@dataclass(frozen=True)
class PhasePicture:
    """Everything on one figure.

    Attributes:
        panels: row by row.
        columns: panels in a row.
        label_N: what each measured trial is, a verdict, or its side of the band.
        trial_N2: unit coordinates of the trials on the plane's axes.
    """

    title: str
    panels: Sequence[Panel]
    columns: int
    label_N: Sequence[str]
    trial_N2: Array
    theory: str


def phase_figure(picture: PhasePicture) -> bytes:
    """The figure as a PNG."""
    rows = -(-len(picture.panels) // picture.columns)
    size = (1.1 + 3.5 * picture.columns, 1.35 + 3.1 * rows)
    figure = Figure(figsize=(max(size[0], 5.2), size[1]), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, picture.columns, sharex=True, sharey=True, squeeze=False)
    for axes, panel in zip(grid.flat, picture.panels, strict=False):
        _draw(axes, panel, picture)
    for axes in grid.flat[len(picture.panels) :]:
        axes.axis("off")
    plane = picture.panels[0].plane
    for axes in grid[-1]:
        axes.set_xlabel(AXIS_NAMES.get(plane.x, plane.x), fontsize=10)
    figure.supylabel(AXIS_NAMES.get(plane.y, plane.y), fontsize=10)
    figure.suptitle(picture.title, fontsize=10.5)
    handles = _legend(picture)
    most = max(2, int(figure.get_figwidth() / 1.9))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), most), frameon=False, fontsize=8)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradstab"})
    return buffer.getvalue()


def _draw(axes: Axes, panel: Panel, picture: PhasePicture) -> None:
    axes.imshow(_colours(panel), origin="lower", extent=(0, 1, 0, 1), aspect="auto", interpolation="bilinear", zorder=0)
    for boundary in panel.boundaries:
        if boundary.kind == "region":
            sure = boundary.level == LEVELS[1]
            for curve in boundary.curves:
                axes.plot(*curve.T, color="black", linewidth=1.6 if sure else 0.6, linestyle="-", zorder=4)
        elif boundary.kind == "safe core":
            for curve in boundary.curves:
                axes.plot(*curve.T, color="#006B4E", linewidth=1.2, linestyle=":", zorder=4)
    for curve in panel.theory:
        axes.plot(*curve.T, color="white", linewidth=2.6, alpha=0.7, zorder=4)
        axes.plot(*curve.T, color="#7A0019", linewidth=1.4, linestyle=(0, (5, 2.5)), zorder=5)
    for curve in panel.trainable:
        axes.plot(*curve.T, color="white", linewidth=2.6, alpha=0.7, zorder=4)
        axes.plot(*curve.T, color="#4B2E83", linewidth=1.4, linestyle=(0, (2, 1.5)), zorder=5)
    size = 13 if len(panel.trial_K) < 600 else 6 if len(panel.trial_K) < 2500 else 2.5
    labels = np.array([picture.label_N[index] for index in panel.trial_K], dtype=object)
    for label in dict.fromkeys(labels.tolist()):
        place_K2 = picture.trial_N2[panel.trial_K[labels == label]]
        colour, marker = style_of(label)
        axes.scatter(
            place_K2[:, 0], place_K2[:, 1], s=size, c=colour, marker=marker, linewidths=0.7, alpha=0.75, zorder=3
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    plane = panel.plane
    for name, direction in ((plane.x, axes.xaxis), (plane.y, axes.yaxis)):
        places, labels_of = ticks(plane.coordinates, name)
        direction.set_ticks(places, labels_of)
    axes.tick_params(labelsize=8.5)
    axes.set_title(panel.title, fontsize=9.5)


def area_of(side: str) -> str:
    """The pale colour of an area whose trainings most likely lie on that side."""
    if side in AREAS:
        return AREAS[side]
    red, green, blue = (0.65 + 0.35 * part for part in to_rgb(style_of(side)[0]))
    return to_hex((red, green, blue))


def _colours(panel: Panel) -> NDArray[np.float64]:
    """Areas mixed by their probabilities, on a fine even grid."""
    plane, found = panel.plane, panel.diagram.probabilities
    diverged = np.minimum(found.p_diverged, 1 - found.p_region)
    shares = {"stable": found.p_region, "diverged": diverged}
    rest = np.maximum(0, 1 - found.p_region - diverged)
    for name, side in found.sides.items():  # as a verdict is given: by the gradients first
        shares[name] = np.minimum(rest, side)
        rest = rest - shares[name]
    mixed = np.zeros((_FINE, _FINE, 3))
    weight = np.full((_FINE, _FINE, 1), 1e-12)
    for name, share in shares.items():
        fine = _fine(plane.unit_X, plane.unit_Y, plane.picture(share))[:, :, None]
        mixed += fine * np.array(to_rgb(area_of(name)))
        weight += fine
    return np.asarray(np.clip(mixed / weight, 0, 1))


def _fine(x_X: Array, y_Y: Array, field_YX: Array) -> Array:
    """A field on lattice lines, linear between them, on an even grid over the whole axes."""
    fine = (np.arange(_FINE) + 0.5) / _FINE
    along_x = np.stack([np.interp(fine, x_X, row) for row in field_YX])
    return np.stack([np.interp(fine, y_Y, column) for column in along_x.T], axis=1)


def _legend(picture: PhasePicture) -> list[Line2D | Patch]:
    seen = dict.fromkeys(label for panel in picture.panels for label in (picture.label_N[k] for k in panel.trial_K))
    marks = [
        Line2D(
            [], [], linestyle="", marker=style_of(label)[1], color=style_of(label)[0], markersize=5, label=_plain(label)
        )
        for label in sorted(seen, key=lambda label: list(STYLES).index(label) if label in STYLES else len(STYLES))
    ]
    sides = {side for panel in picture.panels for side in panel.diagram.probabilities.sides}
    if any((panel.diagram.probabilities.p_diverged > 0.5).any() for panel in picture.panels):
        sides.add("diverged")
    areas = [
        Patch(color=area_of(name), label=f"mostly {name}")
        for name in dict.fromkeys([*AREAS, *sorted(sides)])
        if name in {"stable", *sides}
    ]
    curves = [
        Line2D([], [], color="black", linewidth=1.6, label="boundary (median over seeds)"),
        Line2D([], [], color="black", linewidth=0.6, label="its 5 % and 95 %"),
        Line2D([], [], color="#006B4E", linewidth=1.2, linestyle=":", label="safe core (p_next > .95)"),
    ]
    if any(panel.theory for panel in picture.panels):
        curves.append(Line2D([], [], color="#7A0019", linewidth=1.4, linestyle=(0, (5, 2.5)), label=picture.theory))
    if any(panel.trainable for panel in picture.panels):
        curves.append(Line2D([], [], color="#4B2E83", linewidth=1.4, linestyle=(0, (2, 1.5)), label=TRAINABLE))
    return [*marks, *areas, *curves]


def _plain(label: str) -> str:
    return label.replace("_", " ")
