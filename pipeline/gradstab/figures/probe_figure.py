"""The gradient profile of a user's own module as a figure. Draws, and computes nothing but where lines go."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gradstab.display.colours import AREAS, FIRST, SAFE_CORE, SECOND, THEORY
from gradstab.figures.axis_scales import spread
from gradstab.figures.scaffold import TITLE, NotebookFigure
from gradstab.probing.profiles import Series, relative
from gradstab.probing.wording import BFLOAT16, FLOAT16

_MOST_NAMES = 24
_COLOURS = (FIRST, SECOND, SAFE_CORE)  # of series; more than three stacks are left out
_AXES = {
    "layers": "hidden layer, from the inputs to the readout",
    "blocks": "block (its output), from the inputs to the readout",
    "block inputs": "block (its input), from the inputs to the readout",
    "time steps": "time step",
    "calls": "call of the cell or block",
    "taps": "tap",
}


def probe_figure(series: Sequence[Series], kinds: Sequence[Series], title: str, ratio_band: float) -> Figure:
    """Two panels: the gradient above the last position's, with the stable band; its largest entry, with the ranges."""
    figure = NotebookFigure(figsize=(10.0, 4.4), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_profiles(left, series, ratio_band)
    _draw_headroom(right, series[0], kinds)
    figure.suptitle(title, fontsize=TITLE, wrap=True)
    return figure


def _draw_profiles(axes: Axes, series: Sequence[Series], ratio_band: float) -> None:
    axes.axhspan(-ratio_band, ratio_band, color=AREAS["stable"], zorder=0, label=f"|R| up to {ratio_band:g}: stable")
    for one, colour in zip(series, _COLOURS, strict=False):
        place_L = np.arange(1, len(one.taps) + 1)
        relative_L = relative(one.log10_delta_norm_L)
        axes.plot(place_L, relative_L, "o-", color=colour, markersize=4, linewidth=1.4, label=one.name)
        part_L = ~np.array(one.whole)
        if part_L.any():
            axes.plot(place_L[part_L], relative_L[part_L], "o", color="white", markeredgecolor=colour, markersize=5,
                      label="a part of the gradient")  # fmt: skip
    taps = series[0].taps
    named = spread(len(taps), _MOST_NAMES)
    names = [taps[index] for index in named]
    axes.set_xticks([index + 1 for index in named], names, rotation=60, ha="right", fontsize=7)
    axes.set_xlabel(_AXES.get(series[0].axis, series[0].axis))
    axes.set_ylabel("log10 gradient norm, above the last one's")
    axes.legend(frameon=False, fontsize=8)


def _draw_headroom(axes: Axes, headline: Series, kinds: Sequence[Series]) -> None:
    """Depth goes from 0 to 1, so that kinds with other numbers of layers can be compared."""
    shown = [kind for kind in kinds if len(kind.taps) > 1]
    for index, kind in enumerate(shown):
        label = "other layers" if index == 0 else None
        axes.plot(
            np.linspace(0, 1, len(kind.taps)),
            kind.log10_delta_max_L,
            color=AREAS["diverged"],
            linewidth=0.8,
            label=label,
        )
    peak_L = headline.log10_delta_max_L
    axes.plot(np.linspace(0, 1, len(peak_L)), peak_L, "o-", color=_COLOURS[0], markersize=3, label=headline.name)
    drawn = [value for one in (headline, *shown) for value in one.log10_delta_max_L if np.isfinite(value)]
    low, high = (min(drawn), max(drawn)) if drawn else (-1.0, 1.0)
    for narrow, style in ((FLOAT16, "--"), (BFLOAT16, ":")):
        for edge in (narrow.least, narrow.largest):
            if low - 4 < edge < high + 4:
                axes.axhline(edge, color=THEORY, linestyle=style, linewidth=1)
                axes.annotate(f"{narrow.name} ends", (0.0, edge), fontsize=7, color=THEORY, va="bottom")
    axes.set_xlabel("first position to last")
    axes.set_ylabel("log10 largest entry of the gradient")
    axes.legend(frameon=False, fontsize=8)
