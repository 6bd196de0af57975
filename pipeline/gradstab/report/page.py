"""The report as one page: works offline, runs nothing, prints well. Every text of a study is escaped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from gradstab.display.numbers import shown
from gradstab.record.certificate import Certificate
from gradstab.regression.coordinates import idle
from gradstab.report.findings import Findings
from gradstab.report.html import Html, element, joined, picture, table
from gradstab.report.pictures import Picture
from gradstab.report.wording import (
    answer,
    band,
    edges,
    percent,
    predicted,
    reach,
    spans,
    volume,
)
from gradstab.responses.registry import RESPONSES
from gradstab.results.rejudge import changes
from gradstab.results.results import Results

NO_STOP = "not certified: the study has no stop condition."
OTHER_CRITERION = "not certified: a certificate speaks of the study's own criterion, and this report has another."

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 Georgia, 'Times New Roman', serif; color: #1a1a1a; background: #fff; max-width: 62rem;
  margin: 2.5rem auto; padding: 0 1.5rem; }
h1, h2, th, caption, figcaption, .label, nav { font-family: 'Helvetica Neue', Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: .2rem 0 .6rem; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; border-bottom: 1px solid #bbb; padding-bottom: .2rem; }
p { margin: .5rem 0; }
.label { font-size: .78rem; letter-spacing: .06em; text-transform: uppercase; color: #555; }
.answer { border-left: 4px solid #009E73; background: #f3faf7; padding: .6rem 1.1rem; margin: 1rem 0; }
.verdict { border-left: 4px solid #777; background: #f5f5f5; padding: .4rem 1.1rem; margin: 1rem 0; }
figure { margin: 1.2rem 0; break-inside: avoid; }
img { max-width: 100%; height: auto; }
figcaption, caption { font-size: .84rem; line-height: 1.4; color: #333; text-align: left; }
caption { padding-bottom: .35rem; }
table { border-collapse: collapse; font-size: .86rem; margin: 1rem 0; width: 100%; font-variant-numeric: tabular-nums;
  font-family: 'Helvetica Neue', Arial, sans-serif; }
thead { border-top: 1.5px solid #000; border-bottom: 1px solid #000; }
tbody { border-bottom: 1.5px solid #000; }
th { font-weight: 600; vertical-align: bottom; }
th, td { padding: .22rem .6rem .22rem 0; text-align: left; }
tbody tr:nth-child(even) { background: #f7f7f7; }
pre { background: #f5f5f5; padding: .7rem 1rem; font-size: .8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
p, td, h1, figcaption { overflow-wrap: anywhere; }
@media print { body { font-size: 10.5pt; max-width: none; margin: 0; padding: 0; } h2 { break-after: avoid; }
  tr { break-inside: avoid; } details { display: none; } }
"""


@dataclass(frozen=True)
class Origin:
    """Where a study's results come from, as far as its folder says.

    Attributes:
        study_file: name of the study's file in the folder.
        versions: package to version; empty where it is not on record.
        commit: of the code that trained; None where it is not on record.
        folder: name of the study's folder.
    """

    study_file: str
    versions: dict[str, str]
    commit: str | None
    folder: str


def page(findings: Findings, pictures: Sequence[Picture], certificate: Certificate | None, origin: Origin) -> str:
    """The whole page."""
    study = findings.results.study
    sections = [
        _opening(findings, certificate),
        *_figures(pictures),
        _volumes(findings),
        _intervals(findings),
        _contributions(findings),
        _trust(findings, certificate),
        _verdicts(findings),
        _repeat(findings, origin),
    ]
    return document(f"{study.name}: stability report", joined(*sections))


def document(title: str, body: Html) -> str:
    """A page of its own that loads nothing and runs nothing, whatever a study's texts hold."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        Html(
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
            "style-src 'unsafe-inline'\">"
        ),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(_STYLE)),
    )
    return "<!doctype html>\n" + element("html", head, element("body", body), lang="en")


def certificate_words(results: Results, certificate: Certificate | None) -> str:
    """Whether the region is certified, and which condition failed."""
    if results.criterion != results.study.criterion:
        return OTHER_CRITERION
    if certificate is None:
        return NO_STOP
    if certificate.certified:
        return f"certified: at most {percent(certificate.error)} of the space is misclassified."
    failed = [f"{condition.name}: {condition.sentence}" for condition in certificate.conditions if not condition.holds]
    return f"not certified. {' '.join(failed)}"


def criterion_options(results: Results) -> str:
    """What must be typed behind a command for this criterion; nothing where it is the study's own."""
    return "".join(f" --criterion {item}" for item in changes(results.study.criterion, results.criterion))


def _opening(findings: Findings, certificate: Certificate | None) -> Html:
    study = findings.results.study
    parts = [
        element("div", f"gradstab study report: {study.name}", class_="label"),
        element("h1", study.question),
    ]
    if study.prediction:
        parts += [element("div", "predicted before the run", class_="label"), element("p", study.prediction)]
    parts += [
        element("div", element("div", "answer", class_="label"), *_paragraphs(answer(findings)), class_="answer"),
        element("div", element("p", _capital(certificate_words(findings.results, certificate))), class_="verdict"),
    ]
    return joined(*parts)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _paragraphs(sentences: Sequence[str]) -> list[Html]:
    return [element("p", " ".join(sentences))]


def _figures(pictures: Sequence[Picture]) -> list[Html]:
    if not pictures:
        return []
    drawn = [
        picture(each.png, each.alternative, joined(element("b", f"Figure {number}. "), each.caption))
        for number, each in enumerate(pictures, 1)
    ]
    return [element("h2", "Phase diagrams and gradients"), *drawn]


def _volumes(findings: Findings) -> Html:
    results = findings.results
    rows: list[list[object]] = []
    for judged in findings.judged:
        found = judged.regions
        rows.append(
            [
                judged.name,
                volume(found.volume),
                percent(found.core_volume),
                percent(found.misclassified_volume),
                len(found.parts),
            ]
        )
    bands = "; ".join(band(results.criterion, each.name) for each in results.measured.bands)
    main = findings.main.regions
    parts: list[list[object]] = [
        [number, volume(part.volume), percent(part.core_volume), reach(part)]
        for number, part in enumerate(main.parts[:12], 1)
    ]
    caption = (
        f"Volumes in search coordinates (log axes in log), of {main.num_trials} trials; intervals hold the truth with "
        f"probability .9. Bands: {bands}. The criterion of this report is {findings.main.name}; several responses are "
        "multiplied, as if what is not known of one had nothing to do with what is not known of the other."
    )
    head = ["responses", "region, median over seeds", "safe core, p_next > .95", "expected misclassified", "pieces"]
    more = [] if len(main.parts) <= len(parts) else [element("p", f"{len(main.parts) - len(parts)} smaller ones.")]
    return joined(
        element("h2", "How large the region is"),
        table(head, rows, caption),
        table(
            ["piece", "volume", "safe core in it", "reaches over"],
            parts,
            f"The connected pieces under {findings.main.name}, the largest first. Resolution: what is smaller than "
            f"{percent(main.resolution)} of an axis is not seen.",
        ),
        *more,
    )


def _intervals(findings: Findings) -> Html:
    if not findings.rows:
        return Html("")
    results = findings.results
    axis = findings.rows[0].judged.axis
    held = list(findings.rows[0].judged.held)
    alone = results.judged_by == ("R",)
    with_theory = findings.rows[0].theory is not None
    head = [*(name.replace("_", " ") for name in held), "stable, median over seeds", "its ends, 90 %", "safe, p > .95"]
    head += ["best p_next"] + ([] if alone else ["|R| in band"]) + (["theory for |R|"] if with_theory else [])
    rows: list[list[object]] = []
    for row in findings.rows:
        line = row.judged
        cells: list[object] = ["-" if idle(name, line.held) else shown(value) for name, value in line.held.items()]
        cells += [spans(line.region), "; ".join(edges(span) for span in line.region) or "-", spans(line.safe)]
        cells += [f"{line.p_best:.2f} at {shown(line.best)}"]
        cells += [] if alone else [spans(row.ratio.region)]
        rows.append(cells + ([predicted(row.theory)] if with_theory else []))
    caption = (
        f"Stable intervals of {axis.replace('_', ' ')} under {findings.main.name}. 'From' and 'up to' end where the "
        "search did."
    )
    return joined(element("h2", f"The stable {axis.replace('_', ' ')}"), table(head, rows, caption, words=len(held)))


def _contributions(findings: Findings) -> Html:
    names = list(findings.contributions[0].of_response)
    head = ["axis", f"region ({findings.main.name})", *names, *(f"length-scale of {name}" for name in names)]
    rows = [
        [
            each.axis.replace("_", " "),
            percent(each.of_region),
            *(percent(each.of_response[name]) for name in names),
            *(f"{each.length_scale[name]:.2g}" for name in names),
        ]
        for each in sorted(findings.contributions, key=lambda each: -each.of_region)
    ]
    caption = (
        "Total share of the variance over the whole space that would be gone if the axis were known (Sobol's total "
        "effect; axes that work together make the sum exceed 100 %). Length-scales are fractions of the searched range."
    )
    return joined(element("h2", "What each axis contributes"), table(head, rows, caption))


def _trust(findings: Findings, certificate: Certificate | None) -> Html:
    theory = findings.theory
    rows = []
    for each in findings.health:
        agrees = {True: "yes", False: "NO", None: "no replicates"}[each.noise_agrees]
        pooled = "-" if each.pooled_noise is None else f"{each.pooled_noise:.2g} (df {each.degrees_of_freedom})"
        rows.append(
            [
                RESPONSES[each.response].title,
                f"{each.fitted_noise:.2g}",
                pooled,
                agrees,
                percent(each.coverage),
                f"{each.band_score:.3f} against {each.base_score:.3f}",
                each.num_predicted,
            ]
        )
    head = ["response", "noise fitted", "noise of replicates", "agree within 2", "90 % intervals hold"]
    parts = [
        element("h2", "How far to trust this"),
        element("p", _capital(certificate_words(findings.results, certificate))),
        table(
            [*head, "log score against base rate", "n"],
            rows,
            "Health of the regression: seed-to-seed noise in units of the band, as fitted and as replicates of a point "
            "scatter; forecasts of each trial by all others (leave-one-out): how many of their 90 % intervals hold, "
            "and the mean log probability they gave to what happened, against that of knowing only the base rate.",
        ),
    ]
    if certificate is not None:
        conditions = [
            [condition.name, "holds" if condition.holds else "FAILS", condition.sentence]
            for condition in certificate.conditions
        ]
        parts.append(table(["condition", "", "how it stands"], conditions, "Conditions of the certificate.", words=3))
    if theory.edges is not None:
        parts.append(
            element(
                "p",
                f"Against theory: {percent(theory.volume)} of the space is judged differently for R; "
                f"{theory.edges.num_edges} edges in the table above differ by {percent(theory.edges.median)} in the "
                f"median, {percent(theory.edges.worst)} at worst.",
            )
        )
    return joined(*parts)


def _verdicts(findings: Findings) -> Html:
    verdicts = findings.results.verdicts()
    total = sum(verdicts.values())
    rows = [[name.replace("_", " "), count, percent(count / total)] for name, count in verdicts.most_common()]
    lost = [f"{len(numbers)} failed: {reason}" for reason, numbers in findings.results.failures().items()]
    corrupt = [f"{path.name} could not be read" for path in findings.results.corrupt_segments]
    return joined(
        element("h2", "Trials"),
        table(["verdict", "trials", "share"], rows, "Where trials were placed is not even, unless by design."),
        *(element("p", sentence) for sentence in (*lost, *corrupt)),
    )


def _repeat(findings: Findings, origin: Origin) -> Html:
    study, options = findings.results.study, criterion_options(findings.results)
    commands = [
        f"gradstab run {origin.study_file} --trials {study.budget.trials}   # {origin.study_file}: kept with the data",
        f"gradstab report {study.name}{options}   # this page again, without training",
    ]
    versions = ", ".join(f"{name} {version}" for name, version in origin.versions.items()) or "not on record"
    return joined(
        element("h2", "How to repeat it"),
        element("pre", "\n".join(commands)),
        element("p", f"Trained with {versions}. Commit of the code: {origin.commit or 'not on record'}."),
        element(
            "details",
            element("summary", "the study's complete declaration"),
            element("pre", json.dumps(study.dump(), indent=1)),
        ),
        element("p", "Beside this page: the pictures, region.json, trials.csv and trials.parquet."),
    )
