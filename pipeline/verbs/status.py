"""`gradstab status`: how far a study has come."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from pipeline.verbs.options import format_option, results_option

if TYPE_CHECKING:
    from pipeline.terminal import Format

WATCH_SECONDS = 2.0


@click.command()
@click.argument("study")
@results_option
@click.option("--watch", is_flag=True, help="Show it again every two seconds until the study's driver ends.")
@format_option
def status(study: str, results: str | None, watch: bool, output: Format) -> None:
    """Show how far STUDY has come, and what its slots do."""
    from pipeline.lookup import find_begun
    from pipeline.summary import print_slots, print_status

    while True:
        found, settings = find_begun(study, results)
        if watch and sys.stdout.isatty():
            click.clear()
        print_status(found, settings, output)
        if output == "table":
            print_slots(found)
        if not watch or found.holder() is None:
            return
        sys.stdout.flush()
        time.sleep(WATCH_SECONDS)
