"""What `gradstab run` prints at its end: verdicts, stable intervals, the answer, and where results and report are."""

from __future__ import annotations

import shlex
from importlib.util import find_spec
from pathlib import Path

import click

from gradstab.commands.interval_rows import interval_data, interval_rows, legend, title_of
from gradstab.commands.lookup import command_name, results_flag
from gradstab.commands.status import verdict_rows
from gradstab.commands.terminal import Format, print_json, print_pairs, print_rows, print_sentence, say
from gradstab.display.numbers import counted
from gradstab.errors import GradstabError
from gradstab.results.known_answer import known_answer
from gradstab.results.results import Results
from gradstab.study.settings import Settings
from gradstab.system.storage_url import JournalFile, without_password


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


def failures_text(results: Results) -> list[str]:
    """One sentence for each reason for which trials failed."""
    lines = []
    for reason, numbers in results.failures().items():
        shown = ", ".join(map(str, numbers[:5])) + (" ..." if len(numbers) > 5 else "")
        lines.append(f"{len(numbers)} failed (trial{'' if len(numbers) == 1 else 's'} {shown}): {reason}")
    return lines
