"""`gradstab status`: how far a study has come. The end of `gradstab run` prints its answers with the same functions."""

from __future__ import annotations

import io
import shlex
import sys
import time
from contextlib import nullcontext, redirect_stdout
from typing import TYPE_CHECKING

import click

from gradstab.commands.options import format_option, results_option, study_argument

if TYPE_CHECKING:
    from gradstab.commands.terminal import Format
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gradstab.commands.interval_rows import interval_data, interval_rows, legend, title_of
from gradstab.commands.lookup import results_flag
from gradstab.commands.terminal import Format, print_json, print_pairs, print_rows, print_sentence, say
from gradstab.commands.ui import waiting_trials
from gradstab.display.numbers import counted
from gradstab.display.verdicts import verdict_text
from gradstab.errors import GradstabError
from gradstab.loop.slot_board import read_board
from gradstab.record.certificate import Certificate, read_certificate
from gradstab.record.study_folder import StudyFolder
from gradstab.results.known_answer import known_answer
from gradstab.results.results import Results
from gradstab.results.trial_rows import FAILED, meanings_of
from gradstab.session.progress_line import pace_text
from gradstab.study.settings import Settings
from gradstab.system.storage_url import JournalFile, Storage, without_password

WATCH_SECONDS = 1.0
_MEANING_OF_FAILED = "the machine or the program failed, not the training"
_HOME, _ERASE_LINE, _ERASE_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


@click.command()
@study_argument
@results_option
@click.option("--watch", is_flag=True, help="Update every second until the run of the study ends.")
@click.option(
    "--optuna", is_flag=True, help="Print the Python lines that open its trials with Optuna, and nothing else."
)
@format_option
def status(study: str, results: str | None, watch: bool, optuna: bool, output: Format) -> None:
    """Show the progress of STUDY, and what its slots do."""
    from gradstab.commands.lookup import find_begun

    if optuna:
        folder, settings = find_begun(study, results)
        click.echo(optuna_lines(folder.path.name, settings.storage.value))
        return
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
    """The text of one look at a study. It replaces the last one in one go, so that the screen does not flicker."""

    def isatty(self) -> bool:
        return True

    def drawn(self) -> str:
        lines = self.getvalue().splitlines()
        return _HOME + "".join(f"{line}{_ERASE_LINE}\n" for line in lines) + _ERASE_BELOW


def print_status(folder: StudyFolder, settings: Settings, output: Format) -> None:
    """Print how far a study has come, which process drives it, and what MLflow lacks."""
    results = Results(folder)
    study, verdicts = results.study, results.verdicts()
    done, holder = verdicts.total(), folder.holder()
    waiting = waiting_trials(folder, settings)
    stop, certificate = study.stop, read_certificate(folder.path)
    if output == "json":
        found: dict[str, Any] = {
            "study": study.name,
            "question": study.question,
            "done": done,
            "trials": study.budget.trials,
            "running": holder or "no",
            "waiting for MLflow": waiting,
            "folder": str(folder.path),
        }
        asked = {} if stop is None else {"certificate": certificate.dump() if certificate is not None else None}
        print_json({**found, **asked, "verdicts": dict(verdicts.most_common())})
        return
    print_sentence(f"{study.name}: {done} of {counted(study.budget.trials, 'trial')} done")
    print_sentence(study.question)
    click.echo()
    mlflow = "has every trial" if not waiting else f"lacks {counted(waiting, 'trial')}"
    print_pairs({"running": holder or "no", "MLflow": mlflow, "results": str(folder.path)})
    if verdicts:
        click.echo()
        print_rows("", ["verdict", "trials", "share"], [row[:3] for row in verdict_rows(results)])
    if stop is not None:
        click.echo()
        print_certificate(certificate, stop.error)


def verdict_rows(results: Results) -> list[list[object]]:
    """Each verdict with the trials that have it, their share, and what it means."""
    verdicts, meanings = results.verdicts(), {**meanings_of(results.rows), FAILED: _MEANING_OF_FAILED}
    total = verdicts.total()
    return [
        [verdict_text(name), count, f"{100 * count / total:.0f} %", meanings.get(name, "")]
        for name, count in verdicts.most_common()
    ]


def print_certificate(certificate: Certificate | None, error: float) -> None:
    """Print whether a study's `stop` is reached, and how each condition stands."""
    asked = f"stop at {100 * error:.2g} % misclassified"
    if certificate is None:
        click.echo(f"{asked}: not certified, no trial was checked yet")
        return
    state = "certified" if certificate.certified else "not certified"
    rows = [[one.name, "holds" if one.holds else "MISSING", one.sentence] for one in certificate.conditions]
    print_rows(f"{asked}: {state} after {certificate.num_trials} trials", ["condition", "", "how it stands"], rows)


def write_report_if_stale(results: Results) -> Path | None:
    """Write the study's report if it is out of date; return its page.

    None if it could not be written: the user is told, and the run does not fail.
    """
    if results.folder.has_fresh_report():
        return results.folder.report_page  # the report process made it of the same trials
    say("writing the report ...")
    try:
        from gradstab.report.report import make_report

        return make_report(results)
    except Exception as error:
        reason = str(error) if isinstance(error, GradstabError) else f"{type(error).__name__}: {error}"
        say(f"the report was not written ({reason}); all results are safe")
        say(f"to try again: gradstab report {results.study.name}")
        return None


def print_slots(folder: StudyFolder) -> None:
    """Print how fast the study's driver gets on, and its slots by node and kind; nothing if no driver runs."""
    board = read_board(folder.path)
    if board is None:
        return
    click.echo()
    if board.get("pace") is not None:
        click.echo(f"this run: {pace_text(**board['pace']).strip()}")
    rows = [
        [
            group["node"],
            group["kind"],
            f"{group['busy']}/{group['slots']}",
            group["in_flight"],
            f"{100 * group.get('underway', 0.0) / max(1, group['in_flight']):.0f} %",
            group["done"],
            group["trials_per_slot_second"],
            group["lost"],
        ]
        for group in board["groups"]
    ]
    gone = f" ({board['gone']} gone)" if board["gone"] else ""
    columns = ["node", "kind", "busy", "in flight", "of it done", "trials done", "per second and slot", "workers lost"]
    print_rows(f"slots{gone}", columns, rows)


def print_run(results: Results, settings: Settings, waiting: int, output: Format, page: Path | None = None) -> None:
    """Print verdicts, stable intervals, where results and report are, and how to browse them."""
    verdicts = results.verdicts()
    intervals = results.stable_intervals()
    if output == "json":
        print_json(
            {
                "study": results.study.name,
                "verdicts": dict(verdicts),
                "answer": known_answer(results),
                "stable_intervals": interval_data(results.study, results.criterion, intervals),
                "folder": str(results.folder.path),
                "report": None if page is None else str(page),
                "waiting": waiting,
            }
        )
        return
    if verdicts:
        title = f"{results.study.name}: {counted(verdicts.total(), 'trial')}"
        print_rows(title, ["verdict", "trials", "share", "meaning"], verdict_rows(results))
        click.echo()
        print_rows(title_of(intervals), *interval_rows(results.study, results.criterion, intervals))
        for line in legend(intervals, results.criterion):
            print_sentence(line)
    for number, sentence in enumerate(known_answer(results)):
        if number == 0:
            click.echo()
        print_sentence(sentence if number == 0 else f"- {sentence}")
    click.echo()
    print_pairs(
        {
            "results": str(results.folder.path),
            **({"report": str(page)} if page is not None else {}),
            "browse": _browse(results, settings),
            **_optuna_dashboard(settings),
        }
    )


def _browse(results: Results, settings: Settings) -> str:
    """A link if MLflow runs on a server, else the command that starts one."""
    from gradstab.commands.lookup import command_name
    from gradstab.tracking.links import browser_base, study_link

    base = browser_base(settings.tracking.value)
    if base is not None:
        return study_link(without_password(base), results.folder.path)
    return f"{command_name()} ui {results.study.name}{results_flag(settings)}"


def _optuna_dashboard(settings: Settings) -> dict[str, str]:
    """The command that opens the study's storage in optuna-dashboard, if that is installed."""
    if find_spec("optuna_dashboard") is None:
        return {}
    storage = settings.storage.value
    place = storage.path if isinstance(storage, JournalFile) else storage
    return {"optuna": f"optuna-dashboard {shlex.quote(str(place))}"}


def optuna_lines(study: str, storage: Storage) -> str:
    """Python that opens a study as `optuna.visualization` and others take it; a password is not shown."""
    lines = ["import optuna"]
    if isinstance(storage, JournalFile):
        lines += [
            "from optuna.storages import JournalStorage",
            "from optuna.storages.journal import JournalFileBackend",
            "",
            f"storage = JournalStorage(JournalFileBackend({str(storage.path)!r}))",
        ]
    else:
        lines += ["", f"storage = {str(storage)!r}"]
    return "\n".join([*lines, f"study = optuna.load_study(study_name={study!r}, storage=storage)"])


def failures_text(results: Results) -> list[str]:
    """One sentence for each reason for which trials failed."""
    lines = []
    for reason, numbers in results.failures().items():
        shown = ", ".join(map(str, numbers[:5])) + (" ..." if len(numbers) > 5 else "")
        lines.append(f"{len(numbers)} failed (trial{'' if len(numbers) == 1 else 's'} {shown}): {reason}")
    return lines
