"""`gradstab doctor`: the record, Optuna and MLflow compared, and mended on demand."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from gradstab.commands.options import format_option, results_option
from gradstab.errors import EXIT_FAILED

if TYPE_CHECKING:
    from gradstab.commands.terminal import Format


@click.command()
@click.argument("study")
@click.option("--repair", "mend", is_flag=True, help="Mend what can be mended without training.")
@results_option
@format_option
def doctor(study: str, mend: bool, results: str | None, output: Format) -> None:
    """Compare what the results folder, Optuna and MLflow hold of STUDY; change nothing unless told to.

    Exit code 1 where something differs (with --repair: where something still does).
    """
    from gradstab.commands.doctor_work import examine, repair
    from gradstab.commands.lookup import find_begun
    from gradstab.commands.terminal import print_json, print_rows, say
    from gradstab.session.parts import Listener

    folder, settings = find_begun(study, results)
    found = examine(folder, settings)
    if mend and found:
        repair(folder, settings, Listener(found=say))
        left = examine(folder, settings)
        say(f"{len(found)} differences found, {len(left)} left")
        found = left
    if output == "json":
        print_json([asdict(finding) for finding in found])
    elif found:
        rows = [[f.where, f.what, _ranges(f.numbers), f.mended_by] for f in found]
        print_rows(f"{folder.path.name}: what differs", ["where", "what", "trials", "mended by"], rows)
    else:
        say(f"{folder.path.name}: the results folder, Optuna and MLflow agree")
    if found:
        sys.exit(EXIT_FAILED)


def _ranges(numbers: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, numbers[:8]))
    return f"{len(numbers)}: {shown}{' ...' if len(numbers) > 8 else ''}" if numbers else ""
