"""Runs a study: puts its folder, a searcher, an executor and a tracker together.

Besides the commands, only this room knows all the others. Heavy packages are imported when they are needed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from gradstab.loop.calibration import store_cost_models, stored_cost_models
from gradstab.loop.ports import Executor, Work
from gradstab.loop.progress import Progress
from gradstab.loop.runner import Runner, RunSettings
from gradstab.record.certificate import read_certificate
from gradstab.record.finished import is_finished, mark_finished
from gradstab.record.shipping_order import save_order
from gradstab.record.study_folder import StudyFolder
from gradstab.report.background_process import ReportProcess
from gradstab.results.results import Results
from gradstab.session.own_network import costs_with, keep_modules, module_work, prepare_modules, with_tried_data
from gradstab.session.parts import (
    Engine,
    Listener,
    load_note,
    memory_of_a_slot,
    network_warning,
    open_executor,
    open_searcher,
    own_activations,
    shipping_order,
    start_tracker,
    training_work,
)
from gradstab.session.study_lock import hold_study
from gradstab.session.sync import close_tracker
from gradstab.study.settings import Settings, resolve_settings
from gradstab.study.study import Study
from gradstab.system.home import prepare_home
from gradstab.system.proxies import spare_loopback
from gradstab.system.storage_url import Postgresql, SqliteFile
from gradstab.tracking.credentials import check_credentials, version_note
from gradstab.tracking.restore_process import restore_lost_folder
from gradstab.tracking.shipping_files import WaitingCounter, store_digest

FEWEST_TRIALS = 30  # least trials of a report: fewer say little about a region
SHIPPER_DELAY = 3.0  # seconds, in which Ray's workers import torch
ORDER_SECONDS = 2.0  # between two progress notes to the tracker
BOARD_SECONDS = 0.9  # between two notes to `gradstab status`, which looks every second


@dataclass
class StopSwitch:
    """Stops a run from outside, also before its loop exists."""

    requested: bool = False
    _grace: float | None = field(default=None, repr=False)
    _runner: Runner | None = field(default=None, repr=False)

    def attach(self, runner: Runner) -> None:
        self._runner = runner
        if self.requested:
            runner.stop(self._grace)

    def __call__(self, grace: float | None = None) -> None:
        """Stop the run: trials in flight that end soon finish, and no run outlasts `grace` seconds if given."""
        self.requested, self._grace = True, grace
        if self._runner is not None:
            self._runner.stop(grace)


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    progress: Progress
    waiting: int
    stopped: bool


def run_study(
    study: Study,
    *,
    engine: Engine = "ray",
    results: str | None = None,
    show_progress: bool = True,
    callback: Callable[[Progress], None] | None = None,
) -> Results:
    """Train a study until its budget is used and return its results. A second call continues.

    Args:
        study: the declaration.
        engine: "ray" uses all slots; "serial" trains here, one pack after another.
        results: results folder; by default as the command line chooses it.
        show_progress: draw a progress bar: on stderr, or below the cell of a notebook.
        callback: called with the progress (`done`, `total`, `verdicts`, `seconds_left` and more) at least twice a
            second. An exception in it ends the run; the next call continues the study.

    Raises:
        GradstabError: its message says what is wrong and what to do.
    """
    from gradstab.session.progress_line import ProgressLine, say

    settings = resolve_settings(study, None, results)
    with ProgressLine() if show_progress else nullcontext() as line:

        def progressed(progress: Progress) -> None:
            if line is not None:
                line.show(progress)
            if callback is not None:
                callback(progress)

        listener = Listener(progress=progressed)
        if line is not None:
            listener = Listener(found=say, progress=progressed, shipping=line.shipping)
        drive(study, settings, source=None, engine=engine, listener=listener)
    return Results(StudyFolder.of(settings.results_root(), study.name))


def drive(
    study: Study,
    settings: Settings,
    *,
    source: Path | None,
    engine: Engine,
    listener: Listener | None = None,
    stop: StopSwitch | None = None,
    work: Work | None = None,
    force: bool = False,
    retry_failed: bool = False,
    report: bool = True,
    accept_changed_code: bool = False,
) -> Ended:
    """Run the study's loop as its only driver, then wait until results are shipped.

    Args:
        source: the study's file, copied beside the results.
        work: what workers do with a pack; training by default.
        force: take the study over from another driver.
        retry_failed: try failed trials again, under new numbers.
        accept_changed_code: go on where the code of the study's modules is not what its first trials ran.
        report: remake the study's report and heat maps in the background, and once more at the end.
    """
    listener, stop = listener or Listener(), stop or StopSwitch()
    prepare_home()
    spare_loopback()
    folder = StudyFolder.of(settings.results_root(), study.name)
    check_credentials(settings.tracking.value, settings.mlflow_env)
    activations = own_activations(study, source) if work is None else {}
    with hold_study(folder, settings, force=force):
        study = folder.with_known_data(study)
        if not retry_failed and (ended := _nothing_to_do(folder, study, settings, listener)) is not None:
            return ended
        for note in (
            load_note(study, settings, engine),
            network_warning(settings),
            version_note(settings.tracking.value, settings.mlflow_env),
        ):
            if note is not None:
                listener.found(note)
        known = restore_lost_folder(folder, study, settings, listener.found)
        costs, modules = stored_cost_models(), None
        if work is None and study.model is not None:
            modules = prepare_modules(study, source, folder, listener.found, accept_changed=accept_changed_code)
            study = with_tried_data(study, modules[1])
        folder.claim(study, source, *((known.study_id, known.began_in) if known is not None else ()))
        if modules is not None:
            keep_modules(folder, *modules)
            work, costs = module_work(study, *modules), costs_with(costs, study, modules[1])
        work = work or training_work(study, activations, folder.began_in())
        with (
            closing(open_executor(study, settings, engine, work, listener.found)) as executor,
            closing(open_searcher(study, settings, folder.began_in(), listener.found)) as searcher,
        ):
            # there are none yet where an autoscaler has to add them
            num_slots = len(executor.slots) or study.resources.slots or 1
            tracker = start_tracker(folder, study, settings, SHIPPER_DELAY if engine == "ray" else 0.0)
            remaker = ReportProcess(folder.path, FEWEST_TRIALS if report else math.inf)
            try:
                runner = Runner(
                    study,
                    folder.path,
                    searcher,
                    executor,
                    tracker,
                    limits=_limits(study, num_slots, None if modules is None else modules[0].digest),
                    costs=costs,
                    on_progress=_Reporter(folder, study, settings, listener, remaker, executor),
                )
                stop.attach(runner)
                runner.recover(retry_failed=retry_failed)
                _say_what_was_found(runner, listener)
                progress = runner.run()
                if runner.num_given_back:
                    listener.found(
                        f"trials in flight that did not end in time: {runner.num_given_back}. The next run trains them"
                    )
                store_cost_models(runner.speeds.costs)
            except Exception:
                # a second Ctrl-C must exit at once and skips this; the shipper then ends when its pipe breaks
                remaker.abandon()
                close_tracker(tracker, listener)
                raise
        # before the tracker closes, because that ships the report
        remaker.close(lambda: stop.requested, listener.found)
        certificate = read_certificate(folder.path) if study.stop is not None else None
        if certificate is not None:
            listener.found(certificate.verdict())
        waiting = close_tracker(tracker, listener)
        if runner.is_complete and not waiting:
            mark_finished(folder.path, study, _places(settings))
    return Ended(progress, waiting, stop.requested)


def _nothing_to_do(folder: StudyFolder, study: Study, settings: Settings, listener: Listener) -> Ended | None:
    """How a run ends that has nothing to do, found without Ray, Optuna and MLflow; None where there is something.

    Raises:
        UsageError: fewer trials are asked for than there are, and the study is another one.
    """
    if not folder.exists():
        return None
    declared, done = folder.study().budget.trials, folder.num_recorded()
    fewer = study.budget.trials < min(done, declared)
    if fewer:  # the study keeps its budget: nothing that is on record is taken away
        asked, budget = study.budget.trials, study.budget.model_copy(update={"trials": declared})
        folder.claim(study.model_copy(update={"budget": budget}), None)
        listener.found(f"{done} trials are done, and {asked} in total were asked for: nothing is trained")
        if done < declared:
            listener.found(f"to go on to the {declared} of its budget, leave --trials out or give a larger number")
    elif is_finished(folder.path, study, _places(settings)):
        listener.found(
            f"{done} of {study.budget.trials} done: nothing is left to train, and MLflow was sent every trial"
        )
    else:
        return None
    verdicts = Results(folder).verdicts()
    failed = verdicts.pop("failed", 0)
    waiting = WaitingCounter(folder.path).waiting(settings.tracking.value.url)
    return Ended(Progress(max(done, study.budget.trials), verdicts, failed), waiting, stopped=False)


def _places(settings: Settings) -> list[str]:
    """The stores of a study, with what a file shows of its state: one that was lost or changed must be looked at."""
    storage, tracking = settings.storage.value, settings.tracking.value
    there = not isinstance(tracking, SqliteFile) or tracking.path.exists()
    size = 0
    if not isinstance(storage, Postgresql) and storage.path.exists():
        size = storage.path.stat().st_size
    return [store_digest(tracking.url), str(there), str(storage), str(size)]


def _limits(study: Study, num_slots: int, code: str | None) -> RunSettings:
    seconds = None if study.budget.minutes is None else 60 * study.budget.minutes
    return RunSettings(memory_of_a_slot(num_slots), seconds, code)


class _Reporter:
    """Passes progress to the listener and the report at once, and to `status` and the tracker every few seconds."""

    def __init__(
        self,
        folder: StudyFolder,
        study: Study,
        settings: Settings,
        listener: Listener,
        report: ReportProcess,
        executor: Executor,
    ) -> None:
        self._parts = (folder, study, settings)
        self._executor = executor
        self._listener = listener
        self._report = report
        self._saved = self._board_saved = 0.0

    def __call__(self, progress: Progress) -> None:
        self._listener.progress(progress)
        self._report.notify(progress.done, progress.new, progress.seconds_left, len(self._executor.slots))
        folder, *_ = self._parts
        now = time.monotonic()
        if now - self._board_saved > BOARD_SECONDS or not progress.in_flight:
            progress.slots.save(folder.path, self._executor.slots, progress.pace)
            self._board_saved = now
        if now - self._saved > ORDER_SECONDS or not progress.in_flight:
            save_order(folder.path, shipping_order(*self._parts, progress))
            self._saved = now


def _say_what_was_found(runner: Runner, listener: Listener) -> None:
    progress = runner.progress
    for path in runner.set_aside:
        listener.found(f"{path.name} was damaged and is set aside; its trials run again")
    if not progress.done and not runner.resumed:
        return
    sentence = f"{progress.done} of {progress.total} done"
    if runner.resumed:
        sentence += f", {len(runner.resumed)} were in flight when the last run stopped and run again"
    listener.found(sentence)
