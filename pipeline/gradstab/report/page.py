"""The report as one page: it works offline, runs nothing and prints well. Every text of a study is escaped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gradstab.display.numbers import name_text, percent_text
from gradstab.display.templates import render
from gradstab.record.certificate import Certificate
from gradstab.report.findings import Findings
from gradstab.report.page_tables import (
    PageTable,
    condition_table,
    contribution_table,
    health_table,
    interval_page_table,
    num_smaller_pieces,
    piece_table,
    verdict_table,
    volume_table,
)
from gradstab.report.pictures import Picture
from gradstab.report.terms import used_terms
from gradstab.report.wording import answer_sentences, certificate_text, criterion_options
from gradstab.results.results import Results

TEMPLATES = Path(__file__).parent / "templates"


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


def report_page(
    findings: Findings, pictures: Sequence[Picture], certificate: Certificate | None, origin: Origin
) -> str:
    """The whole page."""
    results = findings.results
    certified = certificate_text(results, certificate)
    lead, *bullets = findings.answer
    statistics = answer_sentences(findings)
    tables = {
        "volumes": volume_table(findings),
        "pieces": piece_table(findings),
        "intervals": interval_page_table(findings),
        "contributions": contribution_table(findings),
        "health": health_table(findings),
        "conditions": condition_table(certificate),
        "verdicts": verdict_table(results),
    }
    against_theory = _against_theory(findings)
    texts = [
        *findings.answer,
        *findings.recommended,
        *statistics,
        against_theory,
        certified or "",
        *(picture.caption for picture in pictures),
    ]
    texts += [text for table in tables.values() if table is not None for text in _texts(table)]
    return render(
        TEMPLATES,
        "report.html",
        study=results.study,
        lead=lead,
        bullets=bullets,
        recommended=findings.recommended,
        statistics=statistics,
        certificate=certified and certified[:1].upper() + certified[1:],
        pictures=pictures,
        tables=tables,
        smaller_pieces=num_smaller_pieces(findings),
        interval_axis=name_text(findings.rows[0].judged.axis) if findings.rows else "",
        against_theory=against_theory,
        terms=used_terms(findings, texts),
        lost=_lost(results),
        commands=_commands(results, origin),
        versions=_versions(origin),
        declaration=json.dumps(results.study.dump(), indent=1),
    )


def _texts(table: PageTable) -> list[str]:
    """Every text of a table."""
    return [table.caption, *table.head, *(str(cell) for row in table.rows for cell in row)]


def _against_theory(findings: Findings) -> str:
    theory = findings.theory
    if theory.edges is None or theory.volume is None:
        return ""
    return (
        f"Against theory: {percent_text(theory.volume)} of the space is judged differently for R; "
        f"{theory.edges.num_edges} edges in the table above differ by {percent_text(theory.edges.median)} in the "
        f"median, {percent_text(theory.edges.worst)} at worst."
    )


def _lost(results: Results) -> list[str]:
    """Trials that machines lost, and files that cannot be read."""
    failed = [f"{len(numbers)} failed: {reason}" for reason, numbers in results.failures().items()]
    return failed + [f"{path.name} could not be read" for path in results.corrupt_segments]


def _commands(results: Results, origin: Origin) -> str:
    study, file = results.study, origin.study_file
    return (
        f"gradstab run {file} --trials {study.budget.trials}   # {file} lies in the study's results folder\n"
        f"gradstab report {study.name}{criterion_options(results)}   # this page again, without training"
    )


def _versions(origin: Origin) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in origin.versions.items()) or "not on record"
    return f"Trained with {versions}. Commit of the code: {origin.commit or 'not on record'}."
