"""The command `gradstab`: verbs, their options, and how each ends. Heavy packages are imported inside the verbs."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from pipeline.errors import GradstabError

if TYPE_CHECKING:
    from pipeline.session import Engine, StopSwitch
    from pipeline.terminal import Format

EXIT_FAILED, EXIT_SOME_FAILED, EXIT_STORAGE, EXIT_INTERRUPTED = 1, 3, 4, 130
_DISK_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}

results_option = click.option(
    "--results", metavar="DIR", help="Folder of all results (else GRADSTAB_RESULTS, else a folder of your account)."
)
format_option = click.option(
    "--format", "output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Form of data."
)


def main() -> None:
    """Run the command line; errors that a person can mend end in one sentence and an exit code."""
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
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)
    except OSError as error:
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


@cli.command()
@click.argument("study")
@click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Replace a field, as recipe.width=256.")
@results_option
@format_option
def check(study: str, overrides: tuple[str, ...], results: str | None, output: Format) -> None:
    """Check STUDY and estimate what it will take, without running it."""
    from pipeline.calibration import stored_cost_model
    from pipeline.estimate import estimate
    from pipeline.lookup import find_study
    from pipeline.session import memory_of_a_slot
    from pipeline.terminal import duration, print_json, print_pairs, size

    declared, _ = find_study(study, results, overrides)
    slots = declared.resources.slots or os.cpu_count() or 1
    found = estimate(declared, stored_cost_model(), slots, memory_of_a_slot(slots))
    if output == "json":
        print_json({"study": declared.dump(), "estimate": vars(found)})
        return
    import yaml

    click.echo(yaml.safe_dump(declared.dump(), sort_keys=False, allow_unicode=True))
    rough = "" if found.calibrated else "  (rough: this machine's speed was not measured yet)"
    print_pairs(
        {
            "trials": f"{found.trials} in about {found.packs} packs of up to {found.trials_per_pack}, "
            f"{found.pack_keys} kind{'s' if found.pack_keys > 1 else ''}",
            "time": f"{duration(found.seconds)} on {slots} slot{'s' if slots > 1 else ''}{rough}",
            "memory": f"{size(found.pack_bytes)} a slot",
            "disk": size(found.disk_bytes),
            "MLflow": f"{found.mlflow_rows} rows at most",
        }
    )


@cli.command()
@click.argument("study")
@click.option("--trials", type=click.IntRange(min=1), help="Total of trials to reach (not: how many more).")
@click.option("--engine", type=click.Choice(["ray", "serial"]), default="ray", show_default=True, help="What trains.")
@click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Replace a field, as recipe.width=256.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the study.")
@click.option("--name", help="Run under this name: a study of its own.")
@results_option
@format_option
def run(
    study: str,
    trials: int | None,
    engine: Engine,
    overrides: tuple[str, ...],
    seed: int | None,
    name: str | None,
    results: str | None,
    output: Format,
) -> None:
    """Bring STUDY to its budget of trials; run again, it continues.

    Ctrl-C lets trials in flight finish; a second Ctrl-C exits at once. Both leave a study that continues.

    \b
    Exit codes: 0 done, also when MLflow is behind; 1 failed; 2 wrong usage or study;
    3 finished, but some trials failed; 4 stopped with results safe, storage unreachable or disk full;
    130 after Ctrl-C.
    """
    from pipeline.lookup import find_settings, find_study, results_flag
    from pipeline.report.results import Results
    from pipeline.session import Listener, StopSwitch, drive
    from pipeline.study_folder import StudyFolder
    from pipeline.summary import failures_text, print_run
    from pipeline.terminal import ProgressLine, say

    totals = (f"budget.trials={trials}",) if trials is not None else ()
    declared, source = find_study(study, results, (*overrides, *totals), name=name, seed=seed)
    settings = find_settings(declared, source, results)
    for name_of, setting in settings.shown().items():
        say(f"{name_of:8} {setting}")
    stop = StopSwitch()
    with _first_interrupt_drains(stop), ProgressLine() as line:
        listener = Listener(found=say, progress=line.show, shipping=line.shipping)
        ended = drive(declared, settings, source=source, engine=engine, listener=listener, stop=stop)
    found = Results(StudyFolder.of(settings.results_root(), declared.name))
    print_run(found, settings, ended.waiting, output)
    for sentence in failures_text(found):
        say(sentence)
    if ended.waiting:
        say(f"{ended.waiting} trials wait: gradstab sync {declared.name}{results_flag(settings)}")
    if ended.stopped and ended.progress.done < ended.progress.total:
        sys.exit(EXIT_INTERRUPTED)
    if ended.progress.failed:
        sys.exit(EXIT_SOME_FAILED)


@cli.command()
@click.argument("study")
@results_option
@format_option
def status(study: str, results: str | None, output: Format) -> None:
    """Show how far STUDY has come."""
    from pipeline.lookup import find_begun
    from pipeline.summary import print_status

    print_status(*find_begun(study, results), output)


@cli.command(name="list")
@results_option
@format_option
def list_studies(results: str | None, output: Format) -> None:
    """List studies, their progress and size on disk."""
    from pipeline.settings import results_setting
    from pipeline.study_folder import study_folders
    from pipeline.terminal import print_json, print_rows, size

    root = Path(results_setting(results).value or ".")
    rows: list[tuple[str, int, int, int, str]] = []
    for folder in study_folders(root):
        bytes_on_disk = sum(path.stat().st_size for path in folder.path.rglob("*") if path.is_file())
        study = folder.study()
        rows.append((study.name, folder.num_recorded(), study.budget.trials, bytes_on_disk, study.question))
    if output == "json":
        names = ("name", "done", "trials", "bytes", "question")
        print_json([dict(zip(names, row, strict=True)) for row in rows])
        return
    shown = [[name, done, total, size(num_bytes), question] for name, done, total, num_bytes, question in rows]
    print_rows(f"{len(rows)} studies in {root}", ["study", "done", "of", "on disk", "question"], shown)


@cli.command()
@click.argument("study", required=False)
@click.option("--port", type=click.IntRange(1024, 65535), default=5000, show_default=True, help="First port to try.")
@results_option
def ui(study: str | None, port: int, results: str | None) -> None:
    """Serve the MLflow UI on the right store and print the link to STUDY."""
    from pipeline.browse import serve_ui
    from pipeline.lookup import find_begun
    from pipeline.settings import resolve_settings

    if study is None:
        serve_ui(resolve_settings(None, None, results), None, port)
        return
    folder, settings = find_begun(study, results)
    serve_ui(settings, folder, port)


@cli.command()
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


@contextlib.contextmanager
def _first_interrupt_drains(stop: StopSwitch) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) lets packs in flight finish; the second exits at once."""
    at_once = False

    def interrupted(signum: int, frame: FrameType | None) -> None:
        nonlocal at_once
        del signum, frame
        if stop.requested:
            at_once = True
            raise KeyboardInterrupt
        click.echo("stopping: trials in flight finish; Ctrl-C again exits at once", err=True)
        stop()

    previous: dict[int, Callable[..., Any] | int | None] = {
        number: signal.signal(number, interrupted) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    except Exception:
        if at_once:  # a library may have made an error of its own of the interrupt
            raise KeyboardInterrupt from None
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
