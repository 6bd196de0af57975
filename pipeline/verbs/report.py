"""`gradstab report`: the region of a study as a page, remade from its segments."""

from __future__ import annotations

import click

from pipeline.verbs.options import criterion_option, results_option


@click.command()
@click.argument("study")
@criterion_option
@click.option("--to", metavar="DIR", help="Folder of the report (else `report` in the study's folder).")
@results_option
def report(study: str, criterion: tuple[str, ...], to: str | None, results: str | None) -> None:
    """Write the report of STUDY: one page, its pictures, region.json and the table of trials.

    Nothing is trained and Optuna is not touched: `--criterion` judges what was measured anew.
    """
    from pathlib import Path

    from pipeline.lookup import find_begun
    from pipeline.report.rejudge import rejudged
    from pipeline.report.report import make_report
    from pipeline.report.results import Results

    folder, _ = find_begun(study, results)
    found = Results(folder, rejudged(folder.study().criterion, criterion))
    click.echo(str(make_report(found, Path(to) if to is not None else None)))
