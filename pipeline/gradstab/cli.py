"""The command `gradstab`: its verbs, and how each ends. The module of a verb is imported when the verb is used."""

from __future__ import annotations

import atexit
import errno
import gc
import io
import os
import sys
from importlib import import_module

import click

from gradstab.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_STORAGE, EXIT_USAGE, GradstabError
from gradstab.system.home import prepare_home
from gradstab.system.proxies import spare_loopback
from gradstab.system.standard_streams import open_closed_streams

# verb: the module in gradstab.commands, the function in it, and its line in `gradstab --help`
VERBS = {
    "check": ("check", "check", "Check STUDY and estimate its time, memory and disk use."),
    "run": ("run", "run", "Train the trials of STUDY until its budget is used."),
    "status": ("status", "status", "Show the progress of STUDY, and what its slots do."),
    "list": ("list_studies", "list_studies", "List the studies in the results folder."),
    "ui": ("ui", "ui", "Open the MLflow UI at STUDY, or at one of its trials."),
    "sync": ("sync", "sync", "Send to MLflow the results of STUDY that it does not have yet."),
    "submit": ("submit", "submit", "Run STUDY as a job of a Ray cluster."),
    "theory": ("theory", "theory", "Predict where gradients of wide networks vanish and explode."),
    "report": ("report", "report", "Write the report of STUDY, or compare two studies."),
    "region": ("region", "region", "Show where STUDY is stable, at a point or along an axis."),
    "recommend": ("recommend", "recommend", "Say what to set, from the trials of STUDY."),
    "probe": ("probe", "probe", "Measure where gradients of your own module vanish or explode."),
    "doctor": ("doctor", "doctor", "Compare the record, Optuna and MLflow of STUDY, and repair them."),
    "remove": ("remove", "remove", "Remove STUDY from the results folder, Optuna and MLflow."),
}
# verb: two examples at the end of its help
EXAMPLES = {
    "check": ("gradstab check my_first.py", "gradstab check my_first.py --set budget.trials=1000 --full"),
    "run": ("gradstab run my_first.py", "gradstab run my_first.py --trials 500 --engine serial"),
    "status": ("gradstab status my-first", "gradstab status my-first --watch"),
    "list": ("gradstab list", "gradstab list --results ./results --format json"),
    "ui": ("gradstab ui my-first", "gradstab ui my-first --trial 42"),
    "sync": ("gradstab sync my-first", "gradstab sync my-first --results ./results"),
    "submit": (
        "gradstab submit my_first.py --address http://head:8265 --follow",
        "gradstab submit my_first.py --address http://head:8265 --stop",
    ),
    "theory": (
        "gradstab theory --activation gelu --depth 50",
        "gradstab theory --activation torch.nn.functional:mish --init-scale 1.5",
    ),
    "report": ("gradstab report my-first", "gradstab report my-first --criterion ratio_band=0.5"),
    "region": ("gradstab region my-first --at depth=10", "gradstab region my-first --at depth=10 --at clip=true"),
    "recommend": (
        "gradstab recommend my-first --largest learning_rate --at depth=24",
        "gradstab recommend my-first --plan more.yaml",
    ),
    "probe": (
        "gradstab probe my_model.py:build",
        "gradstab probe step_1200.pt --model my_model.py:build --set depth=12",
    ),
    "doctor": ("gradstab doctor my-first", "gradstab doctor my-first --repair"),
    "remove": ("gradstab remove my-first", "gradstab remove my-first --yes --results ./results"),
}
_DISK_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
_REFUSED_PATHS = {errno.EACCES: EXIT_STORAGE, errno.EPERM: EXIT_STORAGE, errno.ENAMETOOLONG: EXIT_USAGE}


class LazyGroup(click.Group):
    """A group that imports the module of a verb only when that verb is used: the others cost nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order in which a user meets them."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb of that name."""
        del ctx
        if cmd_name not in VERBS:
            return None
        module, function, _ = VERBS[cmd_name]
        command = getattr(import_module(f"gradstab.commands.{module}"), function)
        assert isinstance(command, click.Command)
        command.epilog = "\n".join(["\b", "Examples:", *(f"  {example}" for example in EXAMPLES[cmd_name])])
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of verbs without importing any of them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(verb, line) for verb, (_, _, line) in VERBS.items()])


def main() -> None:
    """Run the command line; errors that the user can fix end in one sentence and an exit code."""
    open_closed_streams()
    if "_GRADSTAB_COMPLETE" in os.environ:
        import_module("gradstab.commands.completion").register()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a question in Greek must not end a terminal in Latin
        sys.stdout.reconfigure(errors="backslashreplace")
    prepare_home()
    spare_loopback()
    atexit.register(gc.freeze)  # else Python looks through all objects once more at its end: .8 s in doctor
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
            click.echo(f"gradstab: cannot open {error.filename}: {error.strerror}", err=True)
            sys.exit(_REFUSED_PATHS[error.errno])
        if error.errno not in _DISK_TROUBLE:
            raise
        click.echo(f"gradstab: cannot write to disk: {error}. Results recorded so far are safe.", err=True)
        sys.exit(EXIT_STORAGE)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gradstab")
def cli() -> None:
    """Map where gradients neither vanish nor explode.

    STUDY is a study file (.py, .yaml) or the name of a study that has begun.

    Shell completion: eval "$(_GRADSTAB_COMPLETE=bash_source gradstab)" (or zsh_source, fish_source).
    """
