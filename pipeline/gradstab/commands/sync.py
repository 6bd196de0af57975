"""`gradstab sync`: what MLflow does not have yet is sent."""

from __future__ import annotations

import sys

import click

from gradstab.commands.options import results_option
from gradstab.errors import EXIT_STORAGE


@click.command()
@click.argument("study")
@results_option
def sync(study: str, results: str | None) -> None:
    """Send results of STUDY to MLflow that it does not have yet."""
    from gradstab.commands.lookup import find_begun
    from gradstab.commands.terminal import ProgressLine, say
    from gradstab.session.parts import Listener
    from gradstab.session.sync import sync as ship

    folder, settings = find_begun(study, results)
    with ProgressLine() as line:
        waiting = ship(folder, settings, Listener(found=say, shipping=line.shipping))
    if waiting:
        say(f"{waiting} trials still wait: MLflow must be reachable at {settings.shown()['tracking']}; then try again")
        sys.exit(EXIT_STORAGE)
    say("MLflow has every recorded trial")
