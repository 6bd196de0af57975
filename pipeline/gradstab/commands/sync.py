"""`gradstab sync`: sends results to MLflow that it does not have yet."""

from __future__ import annotations

import sys

import click

from gradstab.commands.options import results_option
from gradstab.errors import EXIT_STORAGE


@click.command()
@click.argument("study")
@results_option
def sync(study: str, results: str | None) -> None:
    """Send to MLflow the results of STUDY that it does not have yet."""
    from gradstab.commands.lookup import find_begun
    from gradstab.commands.terminal import ProgressLine, say
    from gradstab.session.parts import Listener
    from gradstab.session.sync import sync as ship

    folder, settings = find_begun(study, results)
    with ProgressLine() as line:
        waiting = ship(folder, settings, Listener(found=say, shipping=line.shipping))
    if waiting:
        say(
            f"{waiting} trials were not sent, because MLflow at {settings.shown()['tracking']} did not take them: "
            "try again when it is back"
        )
        sys.exit(EXIT_STORAGE)
    say("MLflow has every recorded trial")
