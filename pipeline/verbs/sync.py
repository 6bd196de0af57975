"""`gradstab sync`: what MLflow does not have yet is sent."""

from __future__ import annotations

import sys

import click

from pipeline.verbs.exits import EXIT_STORAGE
from pipeline.verbs.options import results_option


@click.command()
@click.argument("study")
@results_option
def sync(study: str, results: str | None) -> None:
    """Send to MLflow what STUDY has recorded and MLflow does not have yet."""
    from pipeline.lookup import find_begun
    from pipeline.session import Listener
    from pipeline.session import sync as ship
    from pipeline.terminal import ProgressLine, say

    folder, settings = find_begun(study, results)
    with ProgressLine() as line:
        waiting = ship(folder, settings, Listener(found=say, shipping=line.shipping))
    if waiting:
        say(f"{waiting} trials still wait: MLflow must be reachable at {settings.shown()['tracking']}; then try again")
        sys.exit(EXIT_STORAGE)
    say("MLflow has every recorded trial")
