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

from pipeline.errors import GradstabError, UsageError

if TYPE_CHECKING:
    from pipeline.report.results import Results
    from pipeline.session import StopSwitch
    from pipeline.settings import Settings
    from pipeline.study import Study

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
def check(study: str, overrides: tuple[str, ...], results: str | None, output: str) -> None:
    """Check STUDY and estimate what it will take, without running it."""
    from pipeline.calibration import stored_cost_model
    from pipeline.estimate import estimate
    from pipeline.session import memory_of_a_slot
    from pipeline.terminal import duration, print_json, print_pairs, size

    declared, _ = _study(study, results, overrides)
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
    engine: str,
    overrides: tuple[str, ...],
    seed: int | None,
    name: str | None,
    results: str | None,
    output: str,
) -> None:
    """Bring STUDY to its budget of trials; run again, it continues.

    Ctrl-C lets trials in flight finish; a second Ctrl-C exits at once. Both leave a study that continues.

    \b
    Exit codes: 0 done, also when MLflow is behind; 1 failed; 2 wrong usage or study;
    3 finished, but some trials failed; 4 stopped with results safe, storage unreachable or disk full;
    130 after Ctrl-C.
    """
    from pipeline.report.results import Results
    from pipeline.session import Listener, StopSwitch, drive
    from pipeline.study_folder import StudyFolder
    from pipeline.terminal import ProgressLine, say

    totals = (f"budget.trials={trials}",) if trials is not None else ()
    declared, source = _study(study, results, (*overrides, *totals), name=name, seed=seed)
    settings = _settings(declared, source, results)
    for name_of, setting in settings.shown().items():
        say(f"{name_of:8} {setting}")
    stop = StopSwitch()
    with _first_interrupt_drains(stop), ProgressLine() as line:
        listener = Listener(found=say, progress=line.show, shipping=line.shipping)
        ended = drive(declared, settings, source=source, engine=engine, listener=listener, stop=stop)  # type: ignore[arg-type]
    found = Results(StudyFolder.of(settings.results_root(), declared.name))
    _print_run(found, settings, ended.waiting, output)
    for reason, numbers in found.failures().items():
        shown = ", ".join(map(str, numbers[:5])) + (" ..." if len(numbers) > 5 else "")
        say(f"{len(numbers)} failed (trial {shown}): {reason}")
    if ended.waiting:
        say(f"{ended.waiting} trials wait: gradstab sync {declared.name}{_results_flag(settings)}")
    if ended.stopped and ended.progress.done < ended.progress.total:
        sys.exit(EXIT_INTERRUPTED)
    if ended.progress.failed:
        sys.exit(EXIT_SOME_FAILED)


@cli.command()
@click.argument("study")
@results_option
@format_option
def status(study: str, results: str | None, output: str) -> None:
    """Show how far STUDY has come."""
    from pipeline.terminal import print_json, print_pairs

    name, settings = _begun(study, results)
    found = _status(name, settings)
    if output == "json":
        print_json(found)
        return
    verdicts = found.pop("verdicts")
    print_pairs({**found, **{f"  {verdict}": count for verdict, count in verdicts.items()}})


@cli.command(name="list")
@results_option
@format_option
def list_studies(results: str | None, output: str) -> None:
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

    if study is None:
        serve_ui(_settings(None, None, results), None, port)
        return
    name, settings = _begun(study, results)
    serve_ui(settings, _folder(settings, name), port)


@cli.command()
@click.argument("study")
@results_option
def sync(study: str, results: str | None) -> None:
    """Send to MLflow what STUDY has recorded and MLflow does not have yet."""
    from pipeline.session import Listener
    from pipeline.session import sync as ship
    from pipeline.terminal import ProgressLine, say

    name, settings = _begun(study, results)
    with ProgressLine() as line:
        waiting = ship(_folder(settings, name), settings, Listener(shipping=line.shipping))
    if waiting:
        say(
            f"{waiting} trials still wait: MLflow at {settings.shown()['tracking']} must be reachable; then run this again"
        )
        sys.exit(EXIT_STORAGE)
    say("MLflow has every recorded trial")


def _study(
    given: str, results: str | None, overrides: tuple[str, ...] = (), **replaced: object
) -> tuple[Study, Path | None]:
    """The study that an argument means: a file, or by name one that has begun."""
    from pipeline.study_file import changed, find_study_file, load_study_file

    folder = _folder_named(given, results)
    try:
        path = find_study_file(given)
    except UsageError:
        if folder is None:
            raise
        return changed(folder.study().dump(), overrides, given, **replaced), None
    return load_study_file(path, overrides, **replaced), path


def _folder_named(given: str, results: str | None) -> Any:
    from pipeline.settings import results_setting
    from pipeline.study_folder import StudyFolder

    if "/" in given or given in ("", ".", ".."):
        return None
    folder = StudyFolder.of(Path(results_setting(results).value or "."), given)
    return folder if folder.exists() else None


def _settings(study: Study | None, source: Path | None, results: str | None) -> Settings:
    from pipeline.settings import resolve_settings

    return resolve_settings(study, source.parent if source else None, results)


def _begun(given: str, results: str | None) -> tuple[str, Settings]:
    """Name and settings of a study that has begun, from its name or its file."""
    folder = _folder_named(given, results)
    study, source = (folder.study(), None) if folder is not None else _study(given, results)
    settings = _settings(study, source, results)
    if not _folder(settings, study.name).exists():
        raise UsageError(
            f"the study {study.name!r} must have begun, but {settings.results_root()} has none: gradstab run"
        )
    return study.name, settings


def _folder(settings: Settings, name: str) -> Any:
    from pipeline.study_folder import StudyFolder

    return StudyFolder.of(settings.results_root(), name)


def _status(name: str, settings: Settings) -> dict[str, Any]:
    from pipeline.browse import waiting_trials
    from pipeline.report.results import Results

    folder = _folder(settings, name)
    found = Results(folder)
    verdicts = found.verdicts()
    holder = folder.holder()
    return {
        "study": name,
        "question": found.study.question,
        "done": sum(verdicts.values()),
        "trials": found.study.budget.trials,
        "running": holder or "no",
        "waiting for MLflow": waiting_trials(folder, settings),
        "folder": str(folder.path),
        "verdicts": dict(verdicts.most_common()),
    }


def _print_run(found: Results, settings: Settings, waiting: int, output: str) -> None:
    from dataclasses import asdict

    from pipeline.terminal import interval_rows, print_json, print_pairs, print_rows

    verdicts = found.verdicts()
    intervals = found.stable_intervals()
    if output == "json":
        print_json(
            {
                "study": found.study.name,
                "verdicts": dict(verdicts),
                "stable_intervals": [asdict(interval) for interval in intervals],
                "folder": str(found.folder.path),
                "waiting": waiting,
            }
        )
        return
    total = sum(verdicts.values())
    rows = [[name, count, f"{100 * count / total:.0f} %"] for name, count in verdicts.most_common()]
    print_rows(f"{found.study.name}: {total} trials", ["verdict", "trials", "share"], rows)
    click.echo()
    print_rows("stable init_scale, from measured trials", *interval_rows(intervals))
    click.echo()
    print_pairs(
        {
            "results": str(found.folder.path),
            "browse": f"gradstab ui {found.study.name}{_results_flag(settings)}",
        }
    )


def _results_flag(settings: Settings) -> str:
    """What must be added to a printed command so that it finds the same results."""
    return "" if settings.results.origin == "default" else f" --results {settings.results_root()}"


@contextlib.contextmanager
def _first_interrupt_drains(stop: StopSwitch) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) lets packs in flight finish; the second exits at once."""

    def interrupted(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        if stop.requested:
            raise KeyboardInterrupt
        click.echo("stopping: trials in flight finish; Ctrl-C again exits at once", err=True)
        stop()

    previous: dict[int, Callable[..., Any] | int | None] = {
        number: signal.signal(number, interrupted) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
