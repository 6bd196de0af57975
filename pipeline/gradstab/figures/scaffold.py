"""What every figure shares: a grid of panels or the user's own axes, one legend below it, PNG bytes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gradstab.display import colours
from gradstab.display.verdicts import verdict_text
from gradstab.errors import UsageError
from gradstab.regression.coordinates import Array

Shape = Literal["page", "wide", "narrow"]  # several panels in a row, one panel as wide as them, all below each other
TITLE, LABEL, PANEL_TITLE, TICKS, LEGEND = 10.5, 10.0, 9.5, 8.5, 8.0  # font sizes in points
LEAST_WIDTH = 5.2  # inches
_LETTERS_AN_INCH = 12.0  # of a title
_WIDTH_OF_AN_ENTRY = 1.9  # inches of a legend
_MARK_IN_LEGEND = 22.0

# what the curves look like
BOUNDARY: dict[str, Any] = {"color": colours.BOUNDARY, "linewidth": 1.6}
BOUNDARY_LIMIT: dict[str, Any] = {"color": colours.BOUNDARY, "linewidth": 0.6}
SAFE_CORE: dict[str, Any] = {"color": colours.SAFE_CORE, "linewidth": 1.2, "linestyle": ":"}
THEORY: dict[str, Any] = {"color": colours.THEORY, "linewidth": 1.4, "linestyle": (0, (5, 2.5))}
TRAINABLE_DEPTH: dict[str, Any] = {"color": colours.TRAINABLE_DEPTH, "linewidth": 1.4, "linestyle": (0, (2, 1.5))}
TRAINABLE_DEPTH_LABEL = r"theory: depth = 6 $\xi_c$"


class NotebookFigure(Figure):
    """A figure that a notebook shows, without pyplot and its global state."""

    def _repr_png_(self) -> bytes:
        return png_bytes(self)


@dataclass(frozen=True)
class PanelGrid:
    """The axes that a figure is drawn into.

    Attributes:
        panels: one axes for each panel.
        lowest: the last panel of each column.
        is_own: whether the figure was made here; the user's own axes get neither a legend nor a title of the figure.
    """

    figure: Figure
    panels: tuple[Axes, ...]
    lowest: tuple[Axes, ...]
    is_own: bool

    def finish(self, title: str, x: str, y: str, legend: Sequence[str] = ()) -> Figure:
        """Write the title, the names of the axes and the legend, its entries in the order given."""
        for axes in self.panels:
            axes.tick_params(labelsize=TICKS)
        for axes in self.lowest:
            axes.set_xlabel(x, fontsize=LABEL)
            axes.tick_params(labelbottom=True)
        if not self.is_own:
            self.panels[0].set_ylabel(y, fontsize=LABEL)
            return self.figure
        for axes in self.panels:
            axes.yaxis.set_label_coords(0, 0.5)  # of no name, for which matplotlib would look for room
        self.figure.supylabel(y, fontsize=LABEL)
        letters = int(self.figure.get_figwidth() * _LETTERS_AN_INCH)
        self.figure.suptitle(textwrap.fill(title, letters), fontsize=TITLE, parse_math=False)
        _legend_below(self.figure, legend)
        return self.figure


def panel_grid(
    count: int,
    columns: int,
    ax: Axes | None = None,
    panel: tuple[float, float] = (3.5, 3.05),
    margin: tuple[float, float] = (1.1, 1.3),
    shared: bool = True,
) -> PanelGrid:
    """A figure of its own with so many panels, or the user's axes for one.

    Args:
        panel, margin: width and height in inches of one panel, and of what lies around them all.
        shared: whether all panels have the same two axes.

    Raises:
        UsageError: several panels do not fit into one axes.
    """
    if ax is not None:
        if count != 1:
            raise UsageError(f"ax takes one panel, but this figure has {count}: choose one of them with at={{...}}")
        return PanelGrid(ax.figure.figure, (ax,), (ax,), is_own=False)
    columns = min(columns, count)
    rows = -(-count // columns)
    size = (max(LEAST_WIDTH, margin[0] + panel[0] * columns), margin[1] + panel[1] * rows)
    figure = NotebookFigure(figsize=size, layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, sharex=shared, sharey=shared, squeeze=False)
    for axes in grid.flat[count:]:
        axes.axis("off")
    panels = tuple(grid.flat[:count])
    return PanelGrid(figure, panels, panels[-columns:], is_own=True)


def name_panel(axes: Axes, title: str, size: float = PANEL_TITLE) -> None:
    """Write the title of a panel, at a given height: else matplotlib looks for ticks above it again and again."""
    axes.set_title(title, y=1.0, fontsize=size, parse_math=False)


def png_bytes(figure: Figure) -> bytes:
    """The figure as a PNG, drawn once: `savefig` draws a figure twice whose panels must be laid out.

    Without transparency its fastest compression takes no more bytes than matplotlib's own way, in half the time.
    """
    canvas: Any = FigureCanvasAgg(figure)  # matplotlib's stubs leave its methods untyped
    canvas.draw()
    told = PngInfo()
    told.add_text("Software", "gradstab")
    buffer = BytesIO()
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba()))
    drawn.convert("RGB").save(buffer, "PNG", compress_level=1, pnginfo=told, dpi=(figure.dpi, figure.dpi))
    return buffer.getvalue()


def draw_curves(axes: Axes, curves: Iterable[Array], style: Mapping[str, Any], label: str, halo: bool = False) -> None:
    """Draw curves of points (x, y); a label stands once in the legend of the axes."""
    known = axes.get_legend_handles_labels()[1]
    for index, curve in enumerate(curves):
        if halo:
            axes.plot(*curve.T, color=colours.HALO, linewidth=2.6, alpha=0.7, zorder=4)
        is_new = index == 0 and label not in known
        axes.plot(*curve.T, **style, zorder=5 if halo else 4, label=label if is_new else None)


def draw_trials(axes: Axes, x_K: Array, y_K: Array, label_K: NDArray[np.object_], size: float) -> None:
    """Draw one mark for each trial, by its verdict or its side of the band."""
    for name, (colour, marker) in colours.marks().items():
        here_K = label_K == name
        if here_K.any():
            axes.scatter(
                x_K[here_K], y_K[here_K], s=size, c=colour, marker=marker, linewidths=0.7, alpha=0.75, zorder=3,
                label=verdict_text(name),
            )  # fmt: skip


def _legend_below(figure: Figure, order: Sequence[str]) -> None:
    """One legend for all panels, every label once: those of `order` first."""
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    labels = sorted(handles, key=lambda label: order.index(label) if label in order else len(order))
    if not labels:
        return
    columns = min(len(labels), max(2, int(figure.get_figwidth() / _WIDTH_OF_AN_ENTRY)))
    legend = figure.legend(
        [handles[label] for label in labels], labels, loc="outside lower center", ncols=columns, frameon=False,
        fontsize=LEGEND,
    )  # fmt: skip
    for entry in legend.legend_handles:
        if isinstance(entry, PathCollection):  # as large as can be seen, however small the marks of many trials
            entry.set_sizes([_MARK_IN_LEGEND])
            entry.set_alpha(1)
