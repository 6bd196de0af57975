"""The pictures of a report with their captions."""

from __future__ import annotations

import base64
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from gradstab.display.criterion import where_text
from gradstab.display.numbers import counted, name_text, percent_text, point_text
from gradstab.display.verdicts import verdict_text
from gradstab.errors import UsageError
from gradstab.figures.layout import PanelLayout
from gradstab.figures.scaffold import png_bytes
from gradstab.figures.theory_curves import judges_depth
from gradstab.report.findings import Findings, Judged
from gradstab.results.plots import depth_profile_figure, phase_diagram_figure
from gradstab.results.trial_rows import measured_trials
from gradstab.study.axes import Value


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        name: of its file.
        alternative: what it shows, for a reader who cannot see it.
        caption: what stands below it.
        narrow_png: the same with its panels below each other, for the width of a phone.
        is_row: whether it has several panels in a row, which a phone without `narrow_png` shows one by one.
    """

    name: str
    png: bytes
    alternative: str
    caption: str
    narrow_png: bytes | None = None
    is_row: bool = False

    @property
    def data_url(self) -> str:
        """The picture inside the page."""
        return _data_url(self.png)

    @property
    def narrow_data_url(self) -> str | None:
        """The same for a phone."""
        return None if self.narrow_png is None else _data_url(self.narrow_png)


def _data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


@dataclass(frozen=True)
class WideMap:
    """A phase diagram in the shape of a page that scrolls, for programs that show it alone.

    Attributes:
        held: what is held, one choice; empty for the map of the whole space.
        name: of its file.
    """

    held: dict[str, Value]
    name: str
    png: bytes


def wide_maps(findings: Findings) -> list[WideMap]:
    """The map under the criterion where it is one panel, and that of every choice of the axis that sets maps apart."""
    layout, results = findings.layout, findings.results
    if layout is None:
        return []
    axis, choices = results.study.space.split() or ("", ())
    wanted: list[dict[str, Value]] = [{axis: value} for value in choices]
    if len(layout.panel_values()) == 1:
        wanted.append({})
    return [
        WideMap(held, f"map-{index}.png", png_bytes(figure))
        for index, held in enumerate(wanted)
        for figure in [phase_diagram_figure(results, findings.main.responses, held, shape="wide")]
    ]


def all_pictures(findings: Findings) -> list[Picture]:
    """Phase diagrams, that of the criterion first, and depth profiles."""
    found = []
    if findings.layout is not None:
        found = [_phase_picture(findings, findings.layout, judged) for judged in findings.judged]
    profile = _profile_picture(findings)
    return found if profile is None else [*found, profile]


def _profile_picture(findings: Findings) -> Picture | None:
    try:
        figure = findings.results.plot_depth_profile()
    except UsageError:  # all networks have one hidden layer
        return None
    place = "hidden layer" if findings.results.study.model is None else "tap"
    return Picture(
        "depth_profiles.png",
        png_bytes(figure),
        _profile_in_words(findings),
        f"How each verdict comes about: the norm of the gradient before training at each {place} over that at the "
        f"last one, median (line) and 10 to 90 % of the trials (band) of each verdict. {place.capitalize()}s are "
        "counted from the input, as a fraction of their number. Pale green: |R| within the band.",
        png_bytes(depth_profile_figure(findings.results, {}, shape="narrow")) if len(figure.axes) > 1 else None,
    )


def _phase_picture(findings: Findings, layout: PanelLayout, judged: Judged) -> Picture:
    results = findings.results
    is_main = judged is findings.main
    told = [_seen_here(findings, judged), _how_to_read(findings, layout) if is_main else "Drawn as Figure 1."]
    return Picture(
        f"phase_{'_and_'.join(judged.responses)}.png",
        png_bytes(results.plot_phase_diagram(*judged.responses)),
        _phase_in_words(findings, judged),
        " ".join(told),
        _narrow_phase_png(findings) if is_main and layout.y is not None and layout.columns > 1 else None,
        is_row=layout.y is not None and layout.columns > 1,
    )


def _seen_here(findings: Findings, judged: Judged) -> str:
    """What this picture shows and no other does, in numbers."""
    share = f"{percent_text(judged.regions.volume.estimate)} of what was searched"
    head = f"Where {where_text(judged.responses)}"
    if judged is findings.main:
        return f"{head}: {share}."
    left_out = [name for name in findings.main.responses if name not in judged.responses]
    instead = any(name not in findings.main.responses for name in judged.responses)
    if instead:
        head += f", by {judged.name} in place of {findings.main.name}"
    elif left_out:
        head += f", whatever {_listed(left_out)}"
    inside_N, stable_N = (
        findings.results.measured.in_bands(names) for names in (judged.responses, findings.main.responses)
    )
    num = int(inside_N.sum())
    unstable = num - int((inside_N & stable_N).sum())
    return (
        f"{head}: {share}. {num} of {counted(len(inside_N), 'trial')} lie there, and {unstable} of them are not stable."
    )


def _listed(names: Sequence[str]) -> str:
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'}"


def _how_to_read(findings: Findings, layout: PanelLayout) -> str:
    """What colours, lines and marks mean, the same in every phase diagram of a study."""
    results = findings.results
    if layout.y is not None:
        theory = "" if results.study.model else "; dashed: mean-field theory, not fitted to anything here"
        return (
            "Colours: what the median training most probably does. Solid: the boundary of the region, and thin lines "
            "between which it lies with probability .9; dotted: the safe core, in which one new training succeeds with "
            f"p > .95{theory}. Marks: measured trials{_cut_words(layout)}."
        )
    theory = ""
    if results.study.model is None:
        deep = ", and a depth of 6 xi_c" if judges_depth(results.estimator) else ""
        theory = f". Dashed: where mean-field theory has |R| = {results.criterion.ratio_band:g}{deep}"
    return (
        "Lines: the probability of that, for the median over seeds and for one new training. Marks: measured trials, "
        f"those in band above{theory}{_cut_words(layout)}."
    )


def _narrow_phase_png(findings: Findings) -> bytes:
    return png_bytes(phase_diagram_figure(findings.results, findings.main.responses, {}, shape="narrow"))


def _phase_in_words(findings: Findings, judged: Judged) -> str:
    """What the picture shows, for a reader who does not see it."""
    if judged is findings.main:
        return " ".join(findings.answer[1:])
    share = percent_text(judged.regions.volume.estimate)
    pieces = counted(len(judged.regions.parts), "piece")
    return f"{judged.name} alone: in band for {share} of what was searched, in {pieces}."


def _profile_in_words(findings: Findings) -> str:
    ratios: dict[str, list[float]] = {}
    for row, trial in measured_trials(findings.results.rows):
        ratio = trial.judgement.responses["R"]
        if ratio is not None:
            ratios.setdefault(row.verdict, []).append(ratio)
    medians = [f"{verdict_text(verdict)} {statistics.median(found):+.2g}" for verdict, found in ratios.items()]
    return f"Median gradient norm at the first layer, in decades of that at the last: {', '.join(medians)}."


def _cut_words(layout: PanelLayout) -> str:
    words = f", each in the panel of the nearest {name_text(layout.cut[0])}" if layout.cut is not None else ""
    if not layout.held:
        return words
    held = point_text(layout.held)
    return f"{words}. A slice, not the best over what is not shown: held where the region is largest, {held}"
