"""The command `gradstab`: its verbs, and how each ends. Heavy packages are imported inside the verbs."""

from __future__ import annotations

import errno
import io
import os
import sys

import click

from gradstab.commands.check import check
from gradstab.commands.doctor import doctor
from gradstab.commands.list_studies import list_studies
from gradstab.commands.region import region
from gradstab.commands.remove import remove
from gradstab.commands.report import report
from gradstab.commands.run import run
from gradstab.commands.status import status
from gradstab.commands.submit import submit
from gradstab.commands.sync import sync
from gradstab.commands.theory import theory
from gradstab.commands.ui import ui
from gradstab.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_STORAGE, EXIT_USAGE, GradstabError

_DISK_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
_REFUSED_PATHS = {errno.EACCES: EXIT_STORAGE, errno.EPERM: EXIT_STORAGE, errno.ENAMETOOLONG: EXIT_USAGE}


def main() -> None:
    """Run the command line; errors that a person can mend end in one sentence and an exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a question in Greek must not end a terminal in Latin
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        cli.main(standalone_mode=False, prog_name="gradstab")
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        os._exit(EXIT_INTERRUPTED)  # at once: threads of libraries must not hold up a second Ctrl-C
    except GradstabError as error:
        click.echo(f"gradstab: {error}", err=True)
        if error.at_once:
            sys.stdout.flush()
            os._exit(error.exit_code)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)
    except OSError as error:
        if error.errno in _REFUSED_PATHS and error.filename is not None:
            click.echo(f"gradstab: {error.filename} must be a path open to this user: {error.strerror}", err=True)
            sys.exit(_REFUSED_PATHS[error.errno])
        if error.errno not in _DISK_TROUBLE:
            raise
        click.echo(f"gradstab: the disk must take what is written, but: {error}. Results so far are safe.", err=True)
        sys.exit(EXIT_STORAGE)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gradstab")
def cli() -> None:
    """Map where gradients neither vanish nor explode.

    STUDY is a study file (.py, .yaml) or the name of a study that has begun.

    Shell completion: eval "$(_GRADSTAB_COMPLETE=bash_source gradstab)" (or zsh_source, fish_source).
    """


for verb in (check, run, status, list_studies, ui, sync, submit, theory, report, region, doctor, remove):
    cli.add_command(verb)
