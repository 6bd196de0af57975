"""The pictures of a report: what is drawn is gathered here and handed to the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradstab.regression.coordinates import Array
from gradstab.report.findings import Findings, Judged
from gradstab.report.line_figure import LinePanel, line_figure
from gradstab.report.panels import PanelLayout, judges_depth, panels, trials_near, unit_on
from gradstab.report.phase_figure import PhasePicture, phase_figure
from gradstab.report.profiles import profile_figure, profiles
from gradstab.report.wording import where
from gradstab.results.results import Results
from gradstab.theory.depth_scale_field import log_depth_left
from gradstab.theory.ratio_field import predicted_field
from gradstab.theory.relative_scale import resolved_recipe

_LINE_STEPS = 257


@dataclass(frozen=True)
class Picture:
    """One picture: its file name, its bytes, what it shows to who cannot see it, and what is said below it."""

    name: str
    png: bytes
    alternative: str
    caption: str


def all_pictures(findings: Findings) -> list[Picture]:
    """Phase diagrams, that of the criterion first, and depth profiles."""
    found = []
    if findings.layout is not None:
        found = [_phase_picture(findings, findings.layout, judged) for judged in findings.judged]
    measured = profiles(findings.results)
    if measured:
        found.append(
            Picture(
                "depth_profiles.png",
                profile_figure(measured, findings.results.criterion.ratio_band),
                "gradient norm at each hidden layer relative to the last, by verdict",
                "Gradients by depth at initialisation: the norm of the gradient at each hidden layer over that at the "
                "last one, median (line) and 10 to 90 % of the trials (band) of each verdict. Layers are counted from "
                "the input, as a fraction of the depth. Pale green: |R| within the band.",
            )
        )
    return found


def labels(results: Results, responses: Sequence[str]) -> list[str]:
    """What each measured trial is under some responses: its verdict under several, its side of the band under one."""
    if len(responses) > 1:
        verdict_of = {row.number: row.judgement.verdict for row in results.rows if row.judgement is not None}
        return [verdict_of[number] for number in results.measured.numbers]
    band = next(band for band in results.measured.bands if band.name == responses[0])

    def side(value: float) -> str:
        if band.diverged_from is not None and value > band.diverged_from:
            return "diverged"
        if value <= band.low:
            return band.low_side
        return "in band" if value < band.high else band.high_side

    return [side(float(value)) for value in results.measured.responses[band.name]]


def _phase_picture(findings: Findings, layout: PanelLayout, judged: Judged) -> Picture:
    results = findings.results
    estimator = results.every_estimator.only(*judged.responses)
    coordinates = estimator.coordinates
    unit_ND = coordinates.unit(results.measured.points)
    label_N = labels(results, judged.responses)
    name = f"phase_{'_and_'.join(judged.responses)}.png"
    title = f"{results.study.name}: {judged.name}, {len(label_N)} measured trials"
    if layout.y is None:
        lines = _line_panels(findings, layout, judged)
        column_N = unit_ND[:, coordinates.names.index(layout.x)]
        png = line_figure(coordinates, layout.x, lines, label_N, column_N, title)
        depth_words = ", and a depth of 6 xi_c" if judges_depth(estimator) else ""
        caption = (
            f"Probability that {judged.name} lies in band: of the median over seeds, and of one new training. Marks: "
            "measured trials, those in band above. Dashed: where mean-field theory has |R| = "
            f"{results.criterion.ratio_band:g}{depth_words}{_cut_words(layout)}."
        )
        return Picture(name, png, f"probabilities along {layout.x}", caption)
    columns_of = [coordinates.names.index(layout.x), coordinates.names.index(layout.y)]
    picture = PhasePicture(
        title,
        panels(results, layout, estimator),
        layout.columns,
        label_N,
        unit_ND[:, columns_of],
        theory=f"theory: |R| = {results.criterion.ratio_band:g}",
    )
    return Picture(
        name,
        phase_figure(picture),
        f"phase diagram over {layout.x} and {layout.y} under {judged.name}",
        f"Phase diagram under {judged.name}. Colours: what the median training most probably does. Solid: the boundary "
        "of the region, and thin lines between which it lies with probability .9; dotted: the safe core, in which one "
        "new training succeeds with p > .95; dashed: mean-field theory, not fitted to anything here. Marks: "
        f"measured trials{_cut_words(layout)}.",
    )


def _cut_words(layout: PanelLayout) -> str:
    words = f", each in the panel of the nearest {layout.cut[0].replace('_', ' ')}" if layout.cut is not None else ""
    if not layout.held:
        return words
    return (
        f"{words}. A slice, not the best over what is not shown: held where the region is largest, {where(layout.held)}"
    )


def _line_panels(findings: Findings, layout: PanelLayout, judged: Judged) -> list[LinePanel]:
    estimator = findings.results.every_estimator.only(*judged.responses)
    coordinates = estimator.coordinates
    unit_T: Array = np.linspace(0, 1, _LINE_STEPS)
    found = []
    for held in layout.rest():
        unit_TD = np.full((_LINE_STEPS, coordinates.num_axes), 0.5)
        for name, value in held.items():
            unit_TD[:, coordinates.names.index(name)] = unit_on(coordinates, name, value)
        unit_TD[:, coordinates.names.index(layout.x)] = unit_T
        believed = estimator.probabilities(unit_TD)
        near_K = trials_near(findings.results, layout, held)
        recipes = [resolved_recipe(findings.results.study, point) for point in coordinates.points(unit_TD)]
        inside_T = np.abs(predicted_field(recipes)) < findings.results.criterion.ratio_band
        trains_T = log_depth_left(recipes) > 0 if judges_depth(estimator) else np.zeros(_LINE_STEPS, dtype=bool)
        theory, trainable = (unit_T[1:][side_T[1:] != side_T[:-1]] for side_T in (inside_T, trains_T))
        found.append(
            LinePanel(layout.title(held), unit_T, believed.p_region, believed.p_next, near_K, theory, trainable)
        )
    return found
