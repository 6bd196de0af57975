"""Options that several verbs share."""

from __future__ import annotations

import click

from gradstab.commands.completion import complete_criterion, complete_place, complete_study

study_argument = click.argument("study", shell_complete=complete_study)
trials_option = click.option(
    "--trials", type=click.IntRange(min=1), help="Number of trials in total, not how many more."
)
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Replace a field of the study, for example recipe.width=256.",
)
seed_option = click.option("--seed", type=click.IntRange(min=0), help="Random seed of the study.")
name_option = click.option("--name", help="Run it as a separate study with this name.")
results_option = click.option(
    "--results", metavar="DIR", help="Folder of all results. Default: GRADSTAB_RESULTS, else a folder of your account."
)
format_option = click.option(
    "--format",
    "output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Format of the output.",
)
at_option = click.option(
    "--at",
    "places",
    multiple=True,
    metavar="AXIS=VALUE",
    shell_complete=complete_place,
    help="Fix an axis at a value, for example depth=10.",
)
criterion_option = click.option(
    "--criterion",
    multiple=True,
    shell_complete=complete_criterion,
    metavar="FIELD=VALUE",
    help="Re-evaluate by another criterion: ratio_band=0.5, target_fraction=0.3, responses=R,T (or R_worst).",
)


def announce(what: str) -> None:
    """Tell on stderr what is waited for, before the imports that take seconds on a busy machine."""
    click.echo(f"{what} ...", err=True)
