"""`gradstab report`: the region of a study as a page, made again from its segments; or two studies compared."""

from __future__ import annotations

import click

from gradstab.commands.completion import complete_study
from gradstab.commands.options import announce, criterion_option, results_option


@click.command()
@click.argument("studies", nargs=-1, required=True, metavar="STUDY [OTHER]", shell_complete=complete_study)
@criterion_option
@click.option("--to", metavar="DIR", help="Folder of the report. Default: inside the study's folder.")
@results_option
def report(studies: tuple[str, ...], criterion: tuple[str, ...], to: str | None, results: str | None) -> None:
    """Write the report of STUDY, or compare two studies.

    With OTHER, the page compares the regions of both.

    The report is one page with its pictures, region.json and the table of trials. Nothing is trained, and Optuna is
    not touched.
    With `--criterion` the recorded trials are judged by other limits, in a report beside that of the study.
    """
    announce(f"reading {' and '.join(studies)}")
    from pathlib import Path

    from gradstab.commands.lookup import find_begun
    from gradstab.commands.terminal import say
    from gradstab.errors import UsageError
    from gradstab.report.overlay import make_comparison
    from gradstab.report.report import make_report
    from gradstab.results.rejudge import rejudged
    from gradstab.results.results import Results

    if len(studies) > 2:
        raise UsageError(f"a report shows one study or compares two, but got {len(studies)}")
    folders = [find_begun(study, results)[0] for study in studies]
    first, *others = (Results(folder, rejudged(folder.study().criterion, criterion)) for folder in folders)
    folder = Path(to) if to is not None else None
    say("writing the report ...")
    click.echo(str(make_comparison(first, others[0], folder) if others else make_report(first, folder)))
