"""The tables of a report's page: captions, columns and cells as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradstab.display.criterion import band_text
from gradstab.display.numbers import name_text, percent_text, value_text
from gradstab.display.verdicts import verdict_text
from gradstab.record.certificate import Certificate
from gradstab.report.findings import Findings
from gradstab.report.wording import predicted_text, reach_text, volume_text
from gradstab.results.results import Results
from gradstab.results.span_words import edge_ranges_text, spans_text
from gradstab.study.recipe import idle
from gradstab.study.responses.registry import RESPONSES

_MOST_PIECES = 12
_AGREES = {True: "yes", False: "NO", None: "no replicates"}


@dataclass(frozen=True)
class PageTable:
    """A table of the page.

    Attributes:
        words: the columns that hold words and may break; a number never does.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | int]]
    words: Sequence[int] = (0,)


def volume_table(findings: Findings) -> PageTable:
    """How large the region is under each choice of responses."""
    results, main = findings.results, findings.main
    bands = "; ".join(band_text(results.criterion, each.name, results.study.model) for each in results.measured.bands)
    caption = (
        f"Volumes in search coordinates (log axes in log), from {main.regions.num_trials} trials; intervals hold the "
        f"truth with probability .9. Bands: {bands}. The criterion of this report is {main.name}; several responses "
        "are multiplied, as if what is not known about one had nothing to do with what is not known about the other."
    )
    return PageTable(
        caption,
        ["responses", "region, median over seeds", "safe core, p_next > .95", "expected misclassified", "pieces"],
        [
            [
                judged.name,
                volume_text(judged.regions.volume),
                percent_text(judged.regions.core_volume),
                percent_text(judged.regions.misclassified_volume),
                len(judged.regions.parts),
            ]
            for judged in findings.judged
        ],
    )


def piece_table(findings: Findings) -> PageTable:
    """The connected pieces of the region, the largest first."""
    main = findings.main
    return PageTable(
        f"The connected pieces under {main.name}, the largest first. Resolution: details smaller than "
        f"{percent_text(main.regions.resolution)} of an axis are not seen.",
        ["piece", "volume", "safe core in it", "reaches over"],
        [
            [number, volume_text(part.volume), percent_text(part.core_volume), reach_text(part)]
            for number, part in enumerate(main.regions.parts[:_MOST_PIECES], 1)
        ],
        words=(3,),
    )


def num_smaller_pieces(findings: Findings) -> int:
    """The pieces that the table leaves out."""
    return max(0, len(findings.main.regions.parts) - _MOST_PIECES)


def interval_page_table(findings: Findings) -> PageTable | None:
    """The stable intervals of one axis, theory's beside them; None where no axis is numeric."""
    if not findings.rows:
        return None
    first = findings.rows[0]
    held = list(first.judged.held)
    alone, with_theory = findings.results.judged_by == ("R",), any(row.theory is not None for row in findings.rows)
    head = [*map(name_text, held), "stable, median over seeds", "its ends, 90 %", "safe, p > .95", "best p_next"]
    head += ([] if alone else ["|R| in band"]) + (["theory for |R|"] if with_theory else [])
    rows = []
    for row in findings.rows:
        line = row.judged
        cells = ["-" if idle(name, line.held) else value_text(value) for name, value in line.held.items()]
        cells += [spans_text(line.region), "; ".join(map(edge_ranges_text, line.region)) or "-", spans_text(line.safe)]
        cells += [f"{line.p_best:.2f} at {value_text(line.best)}"]
        cells += [] if alone else [spans_text(row.ratio.region)]
        rows.append(cells + ([predicted_text(row.theory)] if with_theory else []))
    caption = (
        f"Stable intervals of {name_text(first.judged.axis)} under {findings.main.name}. 'From' and 'up to' end where "
        "the search did."
    )
    return PageTable(caption, head, rows, words=range(len(held)))


def contribution_table(findings: Findings) -> PageTable:
    """How much each axis decides."""
    names = list(findings.contributions[0].of_response)
    return PageTable(
        "Total share of the variance over the whole space that would be gone if the axis were known (Sobol's total "
        "effect; axes that work together make the sum exceed 100 %). Length-scales are fractions of the searched "
        "range.",
        ["axis", f"region ({findings.main.name})", *names, *(f"length-scale of {name}" for name in names)],
        [
            [
                name_text(each.axis),
                percent_text(each.of_region),
                *(percent_text(each.of_response[name]) for name in names),
                *(f"{each.length_scale[name]:.2g}" for name in names),
            ]
            for each in sorted(findings.contributions, key=lambda each: -each.of_region)
        ],
    )


def health_table(findings: Findings) -> PageTable:
    """How well the regression predicts the trials."""
    rows: list[list[str | int]] = []
    for each in findings.health:
        pooled = "-" if each.pooled_noise is None else f"{each.pooled_noise:.2g} (df {each.degrees_of_freedom})"
        rows.append(
            [
                RESPONSES[each.response].title,
                f"{each.fitted_noise:.2g}",
                pooled,
                _AGREES[each.noise_agrees],
                percent_text(each.coverage),
                f"{each.band_score:.3f} against {each.base_score:.3f}",
                each.num_predicted,
            ]
        )
    return PageTable(
        "Health of the regression: seed-to-seed noise in units of the band, as fitted and as replicates of a point "
        "scatter; forecasts of each trial by all others (leave-one-out): how many of their 90 % intervals hold, "
        "and the mean log probability they gave to what happened, against that of knowing only the base rate.",
        [
            *("response", "noise fitted", "noise of replicates", "agree within 2", "90 % intervals hold"),
            *("log score against base rate", "n"),
        ],
        rows,
    )


def condition_table(certificate: Certificate | None) -> PageTable | None:
    """The conditions of the certificate; None where there is none."""
    if certificate is None:
        return None
    return PageTable(
        "Conditions of the certificate.",
        ["condition", "", "how it stands"],
        [
            [condition.name, "holds" if condition.holds else "FAILS", condition.sentence]
            for condition in certificate.conditions
        ],
        words=(0, 2),
    )


def verdict_table(results: Results) -> PageTable:
    """How many trials got each verdict."""
    verdicts = results.verdicts()
    return PageTable(
        "Trials are not placed evenly, unless by design.",
        ["verdict", "trials", "share"],
        [[verdict_text(name), count, percent_text(count / verdicts.total())] for name, count in verdicts.most_common()],
    )
