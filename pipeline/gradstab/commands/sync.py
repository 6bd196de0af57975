"""`gradstab sync`: sends results to MLflow that it does not have yet."""

from __future__ import annotations

import sys

import click

from gradstab.commands.options import announce, results_option, study_argument
from gradstab.errors import EXIT_STORAGE


@click.command()
@study_argument
@results_option
def sync(study: str, results: str | None) -> None:
    """Send to MLflow the results of STUDY that it does not have yet."""
    announce(f"reading {study}")
    from gradstab.commands.lookup import find_begun
    from gradstab.commands.terminal import say
    from gradstab.session.parts import Listener
    from gradstab.session.progress_line import ProgressLine
    from gradstab.session.sync import sync as ship

    folder, settings = find_begun(study, results)
    say(f"sending {folder.path.name} to MLflow ...")
    with ProgressLine() as line:
        waiting = ship(folder, settings, Listener(found=say, shipping=line.shipping))
    if waiting:
        trials = "1 trial was" if waiting == 1 else f"{waiting} trials were"
        say(
            f"{trials} not sent, because MLflow at {settings.shown()['tracking']} did not take them: "
            "try again when it is back"
        )
        sys.exit(EXIT_STORAGE)
    say("MLflow has every recorded trial")
