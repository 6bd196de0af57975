"""`gradstab run`: trains a study until its budget is used."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from gradstab.commands.draining import interrupts_drain
from gradstab.commands.options import (
    announce,
    format_option,
    name_option,
    results_option,
    seed_option,
    set_option,
    study_argument,
    trials_option,
)
from gradstab.errors import EXIT_INTERRUPTED, EXIT_SOME_FAILED

if TYPE_CHECKING:
    from gradstab.commands.terminal import Format
    from gradstab.session.parts import Engine


@click.command()
@study_argument
@trials_option
@click.option(
    "--engine",
    type=click.Choice(["ray", "serial"]),
    default="ray",
    show_default=True,
    help="Where training runs: on Ray, or one pack after another in this process.",
)
@click.option(
    "--address", help="Ray cluster: auto, HOST:PORT or ray://HOST:PORT. Default: RAY_ADDRESS, else Ray on this machine."
)
@set_option
@seed_option
@name_option
@click.option(
    "--retry-failed",
    is_flag=True,
    help="Try failed trials again, with new numbers. They do not count towards the budget.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Take over from another process that runs this study (PostgreSQL only). It stops at its next write.",
)
@click.option(
    "--accept-changed-code",
    is_flag=True,
    help="Go on although the code of the study's modules changed since its first trials.",
)
@click.option("--report/--no-report", default=True, show_default=True, help="Write the study's report at the end.")
@results_option
@format_option
def run(
    study: str,
    trials: int | None,
    engine: Engine,
    address: str | None,
    overrides: tuple[str, ...],
    seed: int | None,
    name: str | None,
    retry_failed: bool,
    force: bool,
    accept_changed_code: bool,
    report: bool,
    results: str | None,
    output: Format,
) -> None:
    """Train the trials of STUDY until its budget is used.

    Run it again to resume the study.

    After Ctrl-C, trials in flight that end within 15 s finish; a second Ctrl-C exits at once. After SIGTERM,
    the run ends within GRADSTAB_DRAIN_SECONDS (30). In every case the next run continues the study, and trains
    the trials that did not finish.

    \b
    Exit codes: 0 done, even if MLflow is behind; 1 failed; 2 wrong usage or
    study; 3 finished, but some trials failed; 4 storage unreachable or disk
    full, results are safe; 130 after Ctrl-C or SIGTERM.
    """
    announce(f"reading {study}")
    from gradstab.commands.lookup import find_settings, find_study, results_flag
    from gradstab.commands.run_summary import failures_text, print_run, write_report_if_stale
    from gradstab.commands.terminal import say, say_interrupted
    from gradstab.record.study_folder import StudyFolder
    from gradstab.results.results import Results
    from gradstab.session.drive import StopSwitch, drive
    from gradstab.session.parts import Listener
    from gradstab.session.progress_line import ProgressLine

    totals = (f"budget.trials={trials}",) if trials is not None else ()
    declared, source = find_study(study, results, (*overrides, *totals), name=name, seed=seed)
    settings = find_settings(declared, source, results, address=address)
    for name_of, setting in settings.shown().items():
        if name_of != "ray" or engine == "ray":
            say(f"{name_of:8} {setting}")
    stop = StopSwitch()
    with interrupts_drain(stop, say_interrupted), ProgressLine() as line:
        listener = Listener(found=say, progress=line.show, shipping=line.shipping)
        ended = drive(
            declared,
            settings,
            source=source,
            engine=engine,
            listener=listener,
            stop=stop,
            force=force,
            retry_failed=retry_failed,
            report=report,
            accept_changed_code=accept_changed_code,
        )
    found = Results(StudyFolder.of(settings.results_root(), declared.name))
    page = write_report_if_stale(found) if report and not ended.stopped else None
    print_run(found, settings, ended.waiting, output, page)
    for sentence in failures_text(found):
        say(sentence)
    if ended.waiting:
        waiting = "1 trial waits" if ended.waiting == 1 else f"{ended.waiting} trials wait"
        say(f"{waiting}: gradstab sync {declared.name}{results_flag(settings)}")
    if ended.stopped and ended.progress.done < ended.progress.total:
        done = f"{ended.progress.done} of {ended.progress.total} trials"
        say(f"stopped after {done}: run the same command again to continue")
        sys.exit(EXIT_INTERRUPTED)
    if ended.progress.failed:
        sys.exit(EXIT_SOME_FAILED)
