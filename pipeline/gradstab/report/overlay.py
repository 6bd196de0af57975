"""The page that compares two studies: their regions on one picture, and how much they differ."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from gradstab.display.criterion import bands_text
from gradstab.display.numbers import percent_text, signed_percent_text
from gradstab.display.templates import render
from gradstab.figures.layout import panel_layout
from gradstab.figures.overlay_figure import NamedEstimator, overlay_figure
from gradstab.figures.scaffold import png_bytes
from gradstab.regression.single_threaded_blas import single_threaded_blas
from gradstab.report.page import TEMPLATES
from gradstab.report.page_tables import PageTable
from gradstab.report.pictures import Picture
from gradstab.report.report import default_folder
from gradstab.report.wording import criterion_options, volume_text
from gradstab.results.results import Results
from gradstab.stability.comparison import Comparison, compare
from gradstab.study.differences import differences
from gradstab.system.durable import replace_files


@dataclass(frozen=True)
class Compared:
    """Two studies under one criterion."""

    first: Results
    second: Results
    comparison: Comparison

    @property
    def both(self) -> tuple[Results, Results]:
        """The two studies, in order."""
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
    picture = _picture(compared)
    files = {} if picture is None else {picture.name: picture.png}
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
    files["index.html"] = _page(compared, picture).encode()
    replace_files(folder, files)
    return folder / "index.html"


def difference_sentence(compared: Compared) -> str:
    """The difference in one sentence."""
    found = compared.comparison
    a, b = (results.study.name for results in compared.both)
    change = found.difference
    clear = change.low > 0 or change.high < 0
    size = f"{percent_text(abs(change.estimate))} of the shared space"
    told = f"The region of {b} is {'larger' if change.estimate > 0 else 'smaller'} than that of {a} by {size}"
    low, high = signed_percent_text(change.low), signed_percent_text(change.high)
    if not clear:
        told = f"The regions of {a} and {b} do not differ in volume as far as these trials tell"
    return (
        f"{told} (90 % interval of the difference {low} to {high}). {percent_text(found.both)} is stable in both, "
        f"{percent_text(found.only_first)} in {a} alone and {percent_text(found.only_second)} in {b} alone."
    )


def _page(compared: Compared, picture: Picture | None) -> str:
    a, b = compared.both
    return render(
        TEMPLATES,
        "comparison.html",
        first=a.study,
        second=b.study,
        answer=difference_sentence(compared),
        picture=picture,
        volumes=_volume_table(compared),
        differences="\n".join(differences(a.study.dump(), b.study.dump())) or "nothing",
        command=f"gradstab report {a.study.name} {b.study.name}{criterion_options(a)}",
    )


def _volume_table(compared: Compared) -> PageTable:
    found = compared.comparison
    a, b = compared.both
    low, high = signed_percent_text(found.difference.low), signed_percent_text(found.difference.high)
    space = ", ".join(found.diagram.cells.coordinates.names)
    return PageTable(
        f"Fractions of the space that both searched ({space}), with 90 % intervals; both judged by "
        f"{bands_text(a.criterion, a.judged_by, a.study.model)}.",
        ["study", "trials", "region, median over seeds"],
        [
            [a.study.name, len(a.measured.numbers), volume_text(found.first)],
            [b.study.name, len(b.measured.numbers), volume_text(found.second)],
            ["difference", "", f"{signed_percent_text(found.difference.estimate)} ({low} to {high})"],
        ],
    )


def _picture(compared: Compared) -> Picture | None:
    a, b = compared.both
    shared = compared.comparison.diagram
    layout = panel_layout(shared, a.contributions)
    if layout is None:
        return None
    of_modules = any(results.study.model is not None for results in compared.both)
    studies = [NamedEstimator(results.study.name, results.estimator) for results in compared.both]
    return Picture(
        "regions.png",
        png_bytes(overlay_figure(shared.cells.coordinates, studies, layout, of_modules=of_modules)),
        "the regions of both studies",
        f"Where the median over seeds has {bands_text(a.criterion, a.judged_by, a.study.model)}: {a.study.name} blue, "
        f"{b.study.name} orange. Thick: the boundaries; thin: between them each lies with probability .9.",
    )
