"""`gradstab region`: where a study is stable, at a point of its space or along its axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gradstab.commands.options import (
    announce,
    at_option,
    criterion_option,
    format_option,
    results_option,
    study_argument,
)

if TYPE_CHECKING:
    from gradstab.commands.terminal import Format


@click.command()
@study_argument
@at_option
@criterion_option
@results_option
@format_option
def region(
    study: str, places: tuple[str, ...], criterion: tuple[str, ...], results: str | None, output: Format
) -> None:
    """Show where STUDY is stable, at a point or along an axis.

    The first line says what to use. Then come the safe interval of each axis that --at leaves open, the nearest cliff
    and the nearest trials.
    """
    announce(f"reading {study}")
    from gradstab.commands.lookup import find_begun
    from gradstab.commands.terminal import print_json, say, stdout_width
    from gradstab.results.region_words import point_data, point_values, region_text
    from gradstab.results.rejudge import rejudged
    from gradstab.results.results import Results

    folder, _ = find_begun(study, results)
    found = Results(folder, rejudged(folder.study().criterion, criterion))
    values = point_values(found, places)
    say(f"fitting the region of {found.study.name} ...")
    at = found.region(**values)
    if output == "json":
        print_json(point_data(found, at))
        return
    click.echo(region_text(found, at, stdout_width()))
