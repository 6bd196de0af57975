"""`gradstab list`: the studies of a results folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gradstab.commands.options import format_option, results_option

if TYPE_CHECKING:
    from gradstab.commands.terminal import Format


@click.command(name="list")
@results_option
@format_option
def list_studies(results: str | None, output: Format) -> None:
    """List the studies in the results folder.

    Each line shows the progress and the size on disk.
    """
    from gradstab.commands.terminal import print_json, print_rows, print_sentence, say
    from gradstab.display.numbers import counted, size_text
    from gradstab.errors import GradstabError
    from gradstab.record.study_folder import study_folders
    from gradstab.study.settings import results_setting

    root = results_setting(results).value
    rows: list[tuple[str, int, int, int, str]] = []
    for folder in study_folders(root):
        try:
            study = folder.study()
        except GradstabError as error:  # one damaged study must not hide the others
            say(str(error))
            continue
        rows.append((study.name, folder.num_recorded(), study.budget.trials, folder.num_bytes(), study.question))
    if output == "json":
        names = ("name", "done", "trials", "bytes", "question")
        print_json([dict(zip(names, row, strict=True)) for row in rows])
        return
    if not rows:
        print_sentence(f"0 studies in {root}: `gradstab run` begins one, and --results looks in another folder")
        return
    shown = [[name, done, total, size_text(num_bytes), question] for name, done, total, num_bytes, question in rows]
    print_rows(f"{counted(len(rows), 'study')} in {root}", ["study", "done", "of", "on disk", "question"], shown)
