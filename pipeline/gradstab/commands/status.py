"""`gradstab status`: how far a study has come."""

from __future__ import annotations

import io
import sys
import time
from contextlib import nullcontext, redirect_stdout
from typing import TYPE_CHECKING

import click

from gradstab.commands.options import format_option, results_option

if TYPE_CHECKING:
    from gradstab.commands.terminal import Format

WATCH_SECONDS = 2.0
_HOME, _ERASE_LINE, _ERASE_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


@click.command()
@click.argument("study")
@results_option
@click.option("--watch", is_flag=True, help="Show it again every two seconds until the study's driver ends.")
@format_option
def status(study: str, results: str | None, watch: bool, output: Format) -> None:
    """Show how far STUDY has come, and what its slots do."""
    from gradstab.commands.lookup import find_begun
    from gradstab.commands.summary import print_slots, print_status

    in_place = watch and sys.stdout.isatty()
    if in_place:
        click.clear()
    while True:
        frame = _Frame()
        with redirect_stdout(frame) if in_place else nullcontext():
            found, settings = find_begun(study, results)
            print_status(found, settings, output)
            if output == "table":
                print_slots(found)
        sys.stdout.write(frame.drawn() if in_place else "")
        sys.stdout.flush()
        if not watch or found.holder() is None:
            return
        time.sleep(WATCH_SECONDS)


class _Frame(io.StringIO):
    """One look at a study, collected while the last one still stands: written over it at once, it does not flicker."""

    def isatty(self) -> bool:
        return True

    def drawn(self) -> str:
        lines = self.getvalue().splitlines()
        return _HOME + "".join(f"{line}{_ERASE_LINE}\n" for line in lines) + _ERASE_BELOW
