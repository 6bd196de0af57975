"""Running `gradstab` as a process, and reading back what a study left in its folder, in Optuna and in MLflow."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow import MlflowClient
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from gradstab.cli import main
from gradstab.loop.progress import Progress
from gradstab.record.segments import Record, read_segment, segment_paths
from gradstab.record.shipping_order import load_order, save_order
from gradstab.record.study_folder import StudyFolder
from gradstab.session import drive, sync
from gradstab.session.parts import shipping_order
from gradstab.study.settings import Settings
from gradstab.study.study import Study
from gradstab.system.child_process import ParentPipe
from gradstab.tracking.mlflow_client import prepare_environment
from gradstab.tracking.segment_shipper import SegmentShipper
from gradstab.tracking.shipping_files import WaitingCounter
from tests.fakes import NoTracker

ROOT = Path(__file__).parents[2]
PATIENCE = 150.0  # seconds, for what a busy machine takes its time with; nothing waits for it where all is well

# nothing is shipped there, which on a busy machine takes longer than what a test is about
AWAY = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
# a study of many trials whose own run alone is shipped
NO_CHILDREN = "tracking: {children: 0, beyond: none, heat_maps: 0}\n"
# what MLflow's client is told by setting the environment; here so that it is taken back
UNTOUCHED = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}

STUDY = """
name: {name}
question: Does every trial arrive exactly once?
space:
  depth: {{type: log_integer, low: 2, high: 8}}
  init_scale: {{type: log_real, low: 0.5, high: 4}}
recipe: {{width: 16, steps: {steps}, batch_size: 32, probe_samples: 64}}
budget: {{trials: {trials}}}
"""


@dataclass(frozen=True)
class Place:
    """A folder with a study file and its own results, and the command run in it."""

    root: Path
    name: str = "study"

    @property
    def folder(self) -> Path:
        return self.root / "results" / self.name

    def with_database(self, empty: Path) -> Place:
        """This place with an empty MLflow database copied in: making one takes seconds."""
        (self.root / "results" / "mlflow").mkdir(parents=True)
        shutil.copy(empty, self.root / "results" / "mlflow" / "mlflow.db")
        return self

    def write_study(self, *, trials: int = 24, steps: int = 10, more: str = "") -> Path:
        path = self.root / f"{self.name}.yaml"
        path.write_text(STUDY.format(name=self.name, trials=trials, steps=steps) + more)
        return path

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start the command; a run writes its report (seconds) only where `--report` is among the arguments."""
        return self._start("gradstab", arguments, environment)

    def start_unshipped(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """As `start`, for tests that are not about MLflow: no shipper is started, whose imports take seconds."""
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        return self._start("tests.endtoend.unshipped", arguments, {"PYTHONPATH": path, **environment})

    def _start(self, module: str, arguments: tuple[str, ...], environment: dict[str, str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", module, *_without_report(arguments)],
            cwd=self.root,
            env={**self.environment(), **environment},
            stdin=subprocess.DEVNULL,  # nobody answers
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a process group of its own, as a terminal gives it
        )

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command as a process of its own: it imports everything anew, which takes five seconds of a core."""
        return _ended(self.start(*arguments, **environment))

    def run_unshipped(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """As `run`, for tests that are not about MLflow."""
        return _ended(self.start_unshipped(*arguments, **environment))

    def call(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command in this process, with everything imported: for tests that are not about the processes.

        What a run leaves to its shipper is shipped here too, when the run ends. What the command sets in this process
        is taken back: environment, folder, threads of torch and its denormal numbers.
        """
        with pytest.MonkeyPatch.context() as patch:
            ship_here(patch)
            return self._call(patch, arguments, environment)

    def call_with_shipper(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """As `call`, for tests that are about the shipper's process."""
        with pytest.MonkeyPatch.context() as patch:
            return self._call(patch, arguments, environment)

    def call_unshipped(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """As `call`, for tests that are not about MLflow either: no shipper is started, and nothing waits for one."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(drive, "start_tracker", lambda *_: NoTracker())
            return self._call(patch, arguments, environment)

    def _call(
        self, patch: pytest.MonkeyPatch, arguments: tuple[str, ...], environment: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        import torch

        arguments = _without_report(arguments)
        threads, outputs, code = torch.get_num_threads(), (io.StringIO(), io.StringIO()), 0
        for name in set(os.environ) - set(self.environment()):
            patch.delenv(name)
        for name, value in {**self.environment(), **environment, **UNTOUCHED}.items():
            patch.setenv(name, value)
        patch.chdir(self.root)
        patch.setattr(sys, "argv", ["gradstab", *arguments])
        try:
            with contextlib.redirect_stdout(outputs[0]), contextlib.redirect_stderr(outputs[1]):
                main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        finally:
            torch.set_flush_denormal(False)
            torch.set_num_threads(threads)
        return subprocess.CompletedProcess(arguments, code, outputs[0].getvalue(), outputs[1].getvalue())

    def await_segment(self, process: subprocess.Popen[str]) -> None:
        """Until a running study has put something more on record than there is now."""
        before = len(segment_paths(self.folder))
        self._await(process, lambda: len(segment_paths(self.folder)) > before, "a trial must be recorded")

    def await_journal(self, process: subprocess.Popen[str]) -> None:
        """Until a running study has written something more to Optuna's journal."""
        journal = self.folder / "optuna.journal"
        before = journal.stat().st_size
        self._await(process, lambda: journal.stat().st_size != before, "a trial must be asked for")

    def _await(self, process: subprocess.Popen[str], condition: Callable[[], bool], wanted: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if process.poll() is not None or time.monotonic() > deadline:
                os.killpg(process.pid, signal.SIGKILL)
                raise AssertionError(f"{wanted}, but: {process.communicate()[1]}")
            time.sleep(0.02)

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "GRADSTAB_"))}
        kept.pop("RAY_ADDRESS", None)
        kept.pop("OPTUNA_STORAGE", None)
        return {**kept, "GRADSTAB_RESULTS": str(self.root / "results"), "XDG_CACHE_HOME": str(self.root / "cache")}

    def records(self) -> list[Record]:
        return [record for path in segment_paths(self.folder) for record in read_segment(path)]

    def optuna_trials(self) -> list[optuna.trial.FrozenTrial]:
        storage = JournalStorage(JournalFileBackend(str(self.folder / "optuna.journal")))
        return optuna.load_study(study_name=self.name, storage=storage).trials

    def mlflow(self) -> MlflowClient:
        uri = f"sqlite:///{self.root}/results/mlflow/mlflow.db"
        return MlflowClient(tracking_uri=uri, registry_uri=uri)

    def mlflow_runs(self, kind: str) -> list[Any]:
        client = self.mlflow()
        experiment = client.get_experiment_by_name(self.name)
        assert experiment is not None
        return list(client.search_runs([experiment.experiment_id], f"tags.kind = '{kind}'", max_results=5000))

    def parent_table(self) -> dict[str, list[Any]]:
        (parent,) = self.mlflow_runs("study")
        into = self.root / "downloaded"
        into.mkdir(exist_ok=True)
        path = self.mlflow().download_artifacts(parent.info.run_id, "trials.json", str(into))
        content = json.loads(Path(path).read_text())
        return {name: [row[i] for row in content["data"]] for i, name in enumerate(content["columns"])}


class ShipsHere:
    """A tracker that ships in this process, where MLflow is imported already, when it is closed."""

    def __init__(self, folder: StudyFolder, study: Study, settings: Settings, delay: float = 0.0) -> None:
        save_order(folder.path, shipping_order(folder, study, settings, Progress(study.budget.trials)))
        self._folder = folder.path

    def notify(self) -> None:
        return

    def waiting(self) -> int:
        return 0  # nobody shall wait for what happens at the end

    def last_error(self) -> None:
        return None

    def close(self, patience: float) -> int:
        prepare_environment()
        driver = ParentPipe()
        driver.finish(patience)
        SegmentShipper(self._folder, driver).run()
        return WaitingCounter(self._folder).waiting(load_order(self._folder).uri)


def ship_here(patch: pytest.MonkeyPatch) -> None:
    """What runs leave to a shipper is shipped in this process, for tests that are not about the processes."""
    for module in (drive, sync):
        patch.setattr(module, "start_tracker", ShipsHere)
    for name, value in UNTOUCHED.items():
        patch.setenv(name, value)


def _without_report(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """A run writes its report (seconds) only where that is asked for."""
    return (*arguments, "--no-report") if arguments[:1] == ("run",) and "--report" not in arguments else arguments


def finished(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a command wrote to stdout and stderr until it ended; one that does not end is killed and fails the test."""
    try:
        return process.communicate(timeout=PATIENCE)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def _ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    stdout, stderr = finished(process)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def values_of(records: list[Record]) -> dict[int, tuple[Any, ...]]:
    """What a trial's values are, bit for bit, by number."""
    return {
        record.number: (
            record.point,
            record.seed,
            record.trajectory and {name: array.tobytes() for name, array in sorted(record.trajectory.series.items())},
        )
        for record in records
    }


def assert_exactly_once(place: Place, trials: int) -> None:
    """Each number once in the record, in Optuna, in the parent's table and as a child run."""
    numbers = list(range(trials))
    assert sorted(record.number for record in place.records()) == numbers
    stored = place.optuna_trials()
    assert [trial.number for trial in stored] == numbers
    assert {trial.state.name for trial in stored} == {"COMPLETE"}
    children = place.mlflow_runs("trial")
    assert sorted(int(run.data.tags["trial"]) for run in children) == numbers
    assert {run.info.status for run in children} == {"FINISHED"}
    assert sorted(place.parent_table()["trial"]) == numbers
