"""`gradstab status`: how far a study has come, and what its slots do."""

from __future__ import annotations

import io
import sys
import time
from contextlib import nullcontext, redirect_stdout
from typing import Any

import click

from gradstab.commands.lookup import find_begun
from gradstab.commands.options import format_option, results_option, study_argument
from gradstab.commands.terminal import Format, print_json, print_pairs, print_rows, print_sentence
from gradstab.display.numbers import counted
from gradstab.display.verdicts import verdict_text
from gradstab.loop.slot_board import read_board
from gradstab.record.certificate import Certificate, read_certificate
from gradstab.record.study_folder import StudyFolder
from gradstab.results.results import Results
from gradstab.results.trial_rows import FAILED, meanings_of
from gradstab.session.progress_line import pace_text
from gradstab.study.settings import Settings
from gradstab.system.storage_url import JournalFile, Storage
from gradstab.tracking.shipping_files import WaitingCounter

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
    waiting = WaitingCounter(folder.path).waiting(settings.tracking.value.url)
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
