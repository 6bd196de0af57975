"""`gradstab region`: where a study is stable, at a point of its space or along its axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gradstab.commands.options import criterion_option, format_option, results_option

if TYPE_CHECKING:
    from gradstab.commands.terminal import Format


@click.command()
@click.argument("study")
@click.option(
    "--at", "places", multiple=True, metavar="AXIS=VALUE", help="Fix an axis at a value, for example depth=50."
)
@criterion_option
@results_option
@format_option
def region(
    study: str, places: tuple[str, ...], criterion: tuple[str, ...], results: str | None, output: Format
) -> None:
    """Show where STUDY is stable, at a point or along an axis.

    Prints the safe interval of each axis that --at leaves open, the nearest cliff and the nearest trials.
    """
    from gradstab.commands.lookup import find_begun
    from gradstab.commands.terminal import print_json, print_rows
    from gradstab.report.point import headline, line_rows, nearest_rows, point_data, point_sentences, point_values
    from gradstab.results.rejudge import rejudged
    from gradstab.results.results import Results

    folder, _ = find_begun(study, results)
    found = Results(folder, rejudged(folder.study().criterion, criterion))
    at = found.region(**point_values(found, places))
    if output == "json":
        print_json(point_data(found, at))
        return
    click.echo(headline(found, at) + "\n")
    if at.lines:
        print_rows("intervals of the open axes, each with the others held", *line_rows(at))
        click.echo()
    for sentence in point_sentences(at):
        click.echo(sentence)
    click.echo()
    print_rows("nearest measured trials (distance in search ranges)", *nearest_rows(found, at))
