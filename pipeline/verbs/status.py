"""`gradstab status`: how far a study has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipeline.verbs.options import format_option, results_option

if TYPE_CHECKING:
    from pipeline.terminal import Format


@click.command()
@click.argument("study")
@results_option
@format_option
def status(study: str, results: str | None, output: Format) -> None:
    """Show how far STUDY has come."""
    from pipeline.lookup import find_begun
    from pipeline.summary import print_status

    print_status(*find_begun(study, results), output)
