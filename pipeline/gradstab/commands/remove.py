"""`gradstab remove`: everything a study left, after showing it and asking."""

from __future__ import annotations

import click

from gradstab.commands.options import results_option


@click.command()
@click.argument("study")
@click.option("--yes", is_flag=True, help="Do not ask.")
@results_option
def remove(study: str, yes: bool, results: str | None) -> None:
    """Remove STUDY: its results folder, its Optuna study and its MLflow runs, children included."""
    from gradstab.commands.lookup import find_begun
    from gradstab.commands.removal import belongings
    from gradstab.commands.removal import remove as take_away
    from gradstab.commands.terminal import print_rows, say

    folder, settings = find_begun(study, results)
    print_rows(f"{folder.path.name}: what goes", ["what", "where", "how much"], belongings(folder, settings))
    if not yes:
        click.confirm("Remove all of this?", abort=True, err=True)
    take_away(folder, settings)
    say(f"{folder.path.name} is removed; MLflow keeps deleted runs until `mlflow gc`")
