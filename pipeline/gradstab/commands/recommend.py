"""`gradstab recommend`: what to set, with intervals and n, and which trials are lacking."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gradstab.commands.completion import complete_numeric_axis
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
@click.option(
    "--largest",
    metavar="AXIS",
    shell_complete=complete_numeric_axis,
    help="The axis whose largest safe value is wanted. Default: learning_rate, where the study varies it.",
)
@at_option
@click.option(
    "--plan",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Write a study of the trials that are lacking: YAML, or Python where the study names functions of your own.",
)
@criterion_option
@results_option
@format_option
def recommend(
    study: str,
    largest: str | None,
    places: tuple[str, ...],
    plan: str | None,
    criterion: tuple[str, ...],
    results: str | None,
    output: Format,
) -> None:
    """Say what to set, from the trials of STUDY.

    The answer gives the largest safe learning rate (or value of another axis), a clip threshold, the initial scale
    and the depth. Each figure has its 90 % interval and the number of trials behind it. What the trials do not tell
    is said, with the trials that would.
    """
    announce(f"reading {study}")
    from gradstab.commands.lookup import find_begun
    from gradstab.commands.terminal import print_json, say, stdout_width
    from gradstab.results.recommending.recommend import recommendation_text
    from gradstab.results.region_words import point_values
    from gradstab.results.rejudge import rejudged
    from gradstab.results.results import Results
    from gradstab.study.plan_file import require_new_file

    folder, _ = find_begun(study, results)
    if plan is not None:
        require_new_file(folder.study(), Path(plan))
    found = Results(folder, rejudged(folder.study().criterion, criterion))
    values = point_values(found, places)
    say(f"fitting the region of {found.study.name} ...")
    told = found.recommend(largest, **values)
    if output == "json":
        print_json(told.data())
    else:
        click.echo(recommendation_text(found, told, stdout_width()))
    if plan is None:
        return
    if not told.needs:
        say("the trials suffice: no plan is written")
        return
    planned = told.write_plan(plan)
    say(f"{plan} is the study {planned.name} of {planned.budget.trials} trials: gradstab run {plan}")
