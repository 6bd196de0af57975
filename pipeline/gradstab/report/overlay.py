"""Two studies side by side: their regions on one picture, what differs between them, and by how much."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gradstab.regression.coordinates import Array
from gradstab.regression.single_threaded_blas import single_threaded_blas
from gradstab.report.axis_ticks import ticks
from gradstab.report.contours import contour, probit
from gradstab.report.html import Html, element, joined, picture, table
from gradstab.report.page import criterion_options, document
from gradstab.report.panels import PanelLayout, layout_of, panel_plane
from gradstab.report.phase_figure import AXIS_NAMES
from gradstab.report.report import default_folder
from gradstab.report.wording import band, percent, volume
from gradstab.results.results import Results
from gradstab.stability.comparison import Comparison, compare, within
from gradstab.stability.contributions import contributions
from gradstab.stability.estimator import Estimator
from gradstab.stability.phase_diagram import LEVELS
from gradstab.study.study import differences
from gradstab.system.durable import replace_files

_STYLES: tuple[Literal["-", "--"], ...] = ("-", "--")
_COLOURS = ("#0072B2", "#D55E00")
_CELLS = 72


@dataclass(frozen=True)
class Compared:
    """Two studies under one criterion."""

    first: Results
    second: Results
    comparison: Comparison

    @property
    def both(self) -> tuple[Results, Results]:
        return self.first, self.second


@single_threaded_blas
def make_comparison(first: Results, second: Results, folder: Path | None = None) -> Path:
    """Write the page that compares two studies and return its path; the second is judged by the first's criterion.

    Args:
        folder: by default `report-against-SECOND` in the first study's folder, and under another criterion beside it.

    Raises:
        UsageError: their spaces do not share their axes, or one has no measured trial.
        StorageError: the folder cannot be written.
    """
    names = (first.study.name, second.study.name)
    second = Results(second.folder, first.criterion)
    compared = Compared(first, second, compare(first.estimator, second.estimator, names))
    folder = default_folder(first, f"report-against-{names[1]}") if folder is None else folder
    png = _figure(compared)
    files = {} if png is None else {"regions.png": png}
    found = compared.comparison
    volumes: dict[str, object] = {
        "first": asdict(found.first),
        "second": asdict(found.second),
        "difference": asdict(found.difference),
        "both": found.both,
        "only_first": found.only_first,
        "only_second": found.only_second,
    }
    files["comparison.json"] = json.dumps({"studies": names, **volumes}, indent=1).encode()
    files["index.html"] = _page(compared, png).encode()
    replace_files(folder, files)
    return folder / "index.html"


def sentence(compared: Compared) -> str:
    """The difference in one sentence."""
    found = compared.comparison
    a, b = (results.study.name for results in compared.both)
    change = found.difference
    clear = change.low > 0 or change.high < 0
    size = f"{percent(abs(change.estimate))} of the shared space"
    told = f"The region of {b} is {'larger' if change.estimate > 0 else 'smaller'} than that of {a} by {size}"
    bounds = f"90 % interval of the difference {_signed(change.low)} to {_signed(change.high)}"
    if not clear:
        told = f"The regions of {a} and {b} do not differ in volume as far as these trials tell"
    return (
        f"{told} ({bounds}). {percent(found.both)} is stable in both, {percent(found.only_first)} in {a} alone and "
        f"{percent(found.only_second)} in {b} alone."
    )


def _signed(fraction: float) -> str:
    return f"{100 * fraction:+.1f} %"


def _page(compared: Compared, png: bytes | None) -> str:
    found = compared.comparison
    a, b = compared.both
    judged = " and ".join(band(a.criterion, name) for name in a.judged_by)
    changed = differences(a.study.dump(), b.study.dump())
    rows: list[list[object]] = [
        [a.study.name, len(a.measured.numbers), volume(found.first)],
        [b.study.name, len(b.measured.numbers), volume(found.second)],
        ["difference", "", f"{_signed(found.difference.estimate)} ({_signed(found.difference.low)} to "
         f"{_signed(found.difference.high)})"],
    ]  # fmt: skip
    space = ", ".join(found.diagram.cells.coordinates.names)
    parts: list[Html] = [
        element("div", "gradstab comparison", class_="label"),
        element("h1", f"{a.study.name} against {b.study.name}"),
        element("p", element("b", f"{a.study.name}: "), a.study.question),
        element("p", element("b", f"{b.study.name}: "), b.study.question),
        element("div", element("div", "answer", class_="label"), element("p", sentence(compared)), class_="answer"),
    ]
    if png is not None:
        caption = (
            f"Where the median over seeds has {judged}: {a.study.name} blue, {b.study.name} orange. Thick: the "
            "boundaries; thin: between them each lies with probability .9."
        )
        parts.append(picture(png, "the regions of both studies", caption))
    parts += [
        element("h2", "Volumes"),
        table(
            ["study", "trials", "region, median over seeds"],
            rows,
            f"Fractions of the space that both searched ({space}), with 90 % intervals; both judged by {judged}.",
        ),
        element("h2", "What differs in their declarations"),
        element("pre", "\n".join(changed) or "nothing"),
        element("p", f"To repeat it: gradstab report {a.study.name} {b.study.name}{criterion_options(a)}"),
    ]
    return document(f"{a.study.name} against {b.study.name}", joined(*parts))


def _figure(compared: Compared) -> bytes | None:
    coordinates = compared.comparison.diagram.cells.coordinates
    layout = layout_of(compared.comparison.diagram, contributions(compared.first.estimator))
    if layout is None:
        return None
    panels, columns = layout.rest(), layout.columns
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(max(5.2, 1.1 + 3.5 * columns), 1.2 + 3.0 * rows), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, held in zip(grid.flat, panels, strict=False):
        for index, results in enumerate(compared.both):
            _draw(axes, compared.comparison, results.estimator, layout, held, index)
        axes.set_title(layout.title(held), fontsize=9.5)
        axes.set_xticks(*ticks(coordinates, layout.x))
        if layout.y is not None:
            axes.set_yticks(*ticks(coordinates, layout.y))
        axes.set_xlim(0, 1)
        if layout.y is None:
            axes.set_ylim(0, 1.05)
        else:
            axes.set_ylim(*panel_plane(coordinates, layout.x, layout.y, held, _CELLS).unit_Y[[0, -1]])
        axes.tick_params(labelsize=8.5)
    for axes in grid.flat[len(panels) :]:
        axes.axis("off")
    for axes in grid[-1]:
        axes.set_xlabel(AXIS_NAMES.get(layout.x, layout.x))
    figure.supylabel("probability" if layout.y is None else AXIS_NAMES.get(layout.y, layout.y), fontsize=10)
    lines = [
        Line2D([], [], color=colour, linewidth=1.8, linestyle=style, label=results.study.name)
        for colour, style, results in zip(_COLOURS, _STYLES, compared.both, strict=True)
    ]
    figure.legend(handles=lines, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradstab"})
    return buffer.getvalue()


def _draw(
    axes: Axes,
    comparison: Comparison,
    estimator: Estimator,
    layout: PanelLayout,
    held: dict[str, bool | int | float | str],
    index: int,
) -> None:
    colour, style = _COLOURS[index], _STYLES[index]
    coordinates = comparison.diagram.cells.coordinates
    if layout.y is None:
        unit_T: Array = np.linspace(0, 1, 4 * _CELLS)
        unit_TD = np.tile(coordinates.with_axis(np.full(coordinates.num_axes, 0.5), held), (len(unit_T), 1))
        unit_TD[:, coordinates.names.index(layout.x)] = unit_T
        believed = estimator.probabilities(within(coordinates, estimator.coordinates, unit_TD))
        axes.plot(unit_T, believed.p_region, color=colour, linestyle=style)
        return
    plane = panel_plane(coordinates, layout.x, layout.y, held, _CELLS)
    p_M = estimator.probabilities(within(coordinates, estimator.coordinates, plane.unit_MD)).p_region
    z_YX = plane.picture(probit(p_M))
    axes.contourf(plane.unit_X, plane.unit_Y, z_YX, [0, np.inf], colors=[colour], alpha=0.15)
    for level in LEVELS:
        for curve in contour(plane.unit_X, plane.unit_Y, z_YX, float(probit(level))):
            axes.plot(*curve.T, color=colour, linestyle=style, linewidth=1.8 if level == LEVELS[1] else 0.6)
