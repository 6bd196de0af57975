"""`gradstab ui`: serves the MLflow UI and links to a study in it, or to one of its trials."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import click

from gradstab.commands.completion import complete_study
from gradstab.commands.options import announce, results_option
from gradstab.errors import GradstabError, UsageError
from gradstab.record.study_folder import StudyFolder
from gradstab.study.settings import ResultsSettings, Settings
from gradstab.system import child_process
from gradstab.system.storage_url import OtherMlflowStore, Tracking

START_SECONDS = 180.0  # MLflow takes 5 s to start, and has taken 70 s on a machine with much else to do
SHIPPING_SECONDS = 60.0
LOG_NAME = "mlflow-ui.log"  # in the folder of all results: messages of the server, which say little to a user
MOST_OF_A_LINE = 300
HOSTED = ("databricks", "uc")  # how the URIs of Databricks begin


@click.command()
@click.argument("study", required=False, shell_complete=complete_study)
@click.option(
    "--port",
    type=click.IntRange(1024, 65535),
    default=5000,
    show_default=True,
    help="Port of the server; if it is taken, the next free one.",
)
@click.option(
    "--trial", "trials", type=click.IntRange(min=0), multiple=True, help="Add the heat maps of this trial to its page."
)
@results_option
def ui(study: str | None, port: int, trials: tuple[int, ...], results: str | None) -> None:
    """Open the MLflow UI at STUDY, or at one of its trials."""
    from gradstab.commands.lookup import find_begun
    from gradstab.study.settings import resolve_results_settings

    if study is None:
        if trials:
            raise UsageError("--trial needs a STUDY: gradstab ui STUDY --trial 42")
        serve_ui(resolve_results_settings(results), None, port)
        return
    announce(f"reading {study}")
    folder, settings = find_begun(study, results)
    require_same_store(folder, settings)
    page = show_heat_maps(folder, settings, trials) if trials else None
    serve_ui(settings, folder, port, page)


def require_same_store(folder: StudyFolder, settings: Settings) -> None:
    """Make sure that the store which the settings name is the one that the study was shipped to.

    Raises:
        UsageError: the study was shipped to another store: here another study may have the number of its experiment.
    """
    from gradstab.tracking.shipping_files import is_shipped_elsewhere

    if is_shipped_elsewhere(folder.path, settings.tracking.value.url):
        name = folder.path.name
        raise UsageError(
            f"{name} was shipped to another MLflow than {settings.tracking.value} ({settings.tracking.origin}): "
            f"take that setting away to open the one that has it, or send the study here with gradstab sync {name}"
        )


def show_heat_maps(folder: StudyFolder, settings: Settings, numbers: Sequence[int]) -> str:
    """Draw heat maps of some trials, have them shipped, and return where in the UI the first of them is.

    Raises:
        UsageError: one of them is not on record, or its machine failed.
        GradstabError: MLflow does not take them in time.
    """
    from gradstab.report.remaking import draw_trials
    from gradstab.results.results import Results
    from gradstab.session.parts import Listener
    from gradstab.session.sync import sync
    from gradstab.tracking.links import run_fragment
    from gradstab.tracking.reading import run_with_heat_maps

    results = Results(folder)
    for number in numbers:
        results.trajectory(number)
    draw_trials(results, list(numbers))
    if folder.holder() is None:  # else the shipper of the run in progress finds them
        sync(folder, settings, Listener())
    end = time.monotonic() + SHIPPING_SECONDS
    found = [run_with_heat_maps(settings.tracking.value, folder.study_id(), number, end) for number in numbers]
    if found[0] is None:
        raise GradstabError(
            f"MLflow must take the heat maps of trial {numbers[0]}, but has not in {SHIPPING_SECONDS:.0f} s: "
            f"gradstab sync {folder.path.name}"
        )
    return run_fragment(*found[0])


def serve_ui(settings: ResultsSettings, folder: StudyFolder | None, first_port: int, page: str | None = None) -> None:
    """Serve the MLflow UI until interrupted, the link on stdout; for a remote server only print the link.

    The server's messages go into a file of the results folder.

    Args:
        page: the page to link to; by default the study's stability map.
    """
    from gradstab.tracking.links import browser_base, study_link, ui_command, ui_environment
    from gradstab.tracking.sqlite_trouble import require_readable

    def link(base: str) -> str:
        return f"{base}/{page}" if page is not None else study_link(base, folder.path if folder else None)

    tracking = settings.tracking.value
    server = browser_base(tracking)
    if server is not None:
        print(link(server), flush=True)
        return
    require_readable(tracking)
    require_own_server(tracking)
    port = free_port(first_port)
    command = ui_command(settings.artifact_folder(), port)
    environment = {**settings.mlflow_env, **ui_environment(tracking)}
    base = f"http://127.0.0.1:{port}"
    log = settings.results_root() / LOG_NAME
    with (
        _interruptible(),
        log_file(log) as output,
        child_process.start("gradstab.system.child_server", command, output=output, env=environment) as process,
    ):
        assert process.stdin is not None
        try:
            announce("starting MLflow")
            _await(base, process, log)
            print(link(base), flush=True)
            process.wait()
        except KeyboardInterrupt:
            pass
        finally:
            process.stdin.close()
    if process.returncode != 0:
        raise GradstabError(f"the MLflow server stopped (exit code {process.returncode}){_last_words(log)}")


@contextlib.contextmanager
def log_file(path: Path) -> Iterator[IO[bytes]]:
    """The file for a server's messages, emptied; standard error where there can be none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("wb")
    except OSError:
        yield sys.stderr.buffer
        return
    with file:
        yield file


def _last_words(log: Path) -> str:
    """What a server said last, and where the rest is."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return "; see its messages above"
    last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
    return f": it said last {last[:MOST_OF_A_LINE]!r}; all of it is in {log}"


def require_own_server(tracking: Tracking) -> None:
    """Make sure that a server started here would show the store: a hosted one has pages of its own.

    Raises:
        UsageError: the store is Databricks'.
    """
    if isinstance(tracking, OtherMlflowStore) and tracking.url.startswith(HOSTED):
        raise UsageError(
            f"MLflow at {tracking} has pages of its own, and no server started here can show them: open the study's "
            "experiment in the Databricks workspace"
        )


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends the server as Ctrl-C does, and so does SIGINT where the `&` of a script has left it ignored."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def free_port(first: int) -> int:
    """The first port from `first` on that nothing on this machine listens on."""
    for port in range(first, min(first + 100, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise GradstabError(f"a port from {first} on must be free for the MLflow UI, but 100 are taken: use --port")


def _await(base: str, server: subprocess.Popen[bytes], log: Path) -> None:
    begin = time.monotonic()
    while time.monotonic() - begin < START_SECONDS:
        if server.poll() is not None:
            raise GradstabError(
                f"the MLflow UI must start, but it ended with exit code {server.returncode}{_last_words(log)}"
            )
        try:
            with urllib.request.urlopen(f"{base}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.3)
    raise GradstabError(f"the MLflow UI must answer within {START_SECONDS:.0f} s at {base}, but it did not")
