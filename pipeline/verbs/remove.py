"""`gradstab remove`: everything a study left, after showing it and asking."""

from __future__ import annotations

import click

from pipeline.verbs.options import results_option


@click.command()
@click.argument("study")
@click.option("--yes", is_flag=True, help="Do not ask.")
@results_option
def remove(study: str, yes: bool, results: str | None) -> None:
    """Remove STUDY: its results folder, its Optuna study and its MLflow runs, children included."""
    from pipeline.lookup import find_begun
    from pipeline.removal import belongings
    from pipeline.removal import remove as take_away
    from pipeline.terminal import print_rows, say

    folder, settings = find_begun(study, results)
    print_rows(f"{folder.path.name}: what goes", ["what", "where", "how much"], belongings(folder, settings))
    if not yes:
        click.confirm("Remove all of this?", abort=True, err=True)
    take_away(folder, settings)
    say(f"{folder.path.name} is removed; MLflow keeps deleted runs until `mlflow gc`")
