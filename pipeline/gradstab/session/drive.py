"""Putting the parts together: a study, its folder, a searcher, an executor and a tracker become one run.

The only module, beside the command line, that knows every room; heavy packages are imported when they are needed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gradstab.errors import UsageError
from gradstab.loop.calibration import store_cost_models, stored_cost_models
from gradstab.loop.ports import Executor, Tracker, Work
from gradstab.loop.runner import Limits, Progress, Runner
from gradstab.record.shipping_order import ShippingOrder, save_order
from gradstab.record.study_folder import StudyFolder, make_folder
from gradstab.report.background_process import ReportProcess
from gradstab.results.results import Results
from gradstab.session.study_lock import hold_study
from gradstab.stability.certificate import read_certificate
from gradstab.study.settings import Settings, resolve_settings
from gradstab.study.study import Study
from gradstab.system.provenance import git_commit, versions
from gradstab.system.storage_url import postgresql_url, storage_file
from gradstab.tracking.credentials import check_credentials
from gradstab.tracking.restore_process import restore_lost_folder

if TYPE_CHECKING:
    from gradstab.search.searcher import OptunaSearcher

Engine = Literal["ray", "serial"]

FEWEST_TRIALS = 30  # of a report; fewer say little about a region
JOB_SECONDS = 2.0  # between two notices of progress to the tracker
SYNC_PATIENCE = 20.0  # seconds that MLflow may make no progress before a run ends without it
TROUBLE_PATIENCE = 4.0  # the same once the tracker has said what is in the way


@dataclass(frozen=True)
class Listener:
    """What a run tells its surroundings; every part may be left out.

    Attributes:
        found: sentences on what was found at the start.
        progress: where the study stands, at least twice a second.
        shipping: trials that still wait for MLflow, once training is over.
    """

    found: Callable[[str], None] = lambda _: None
    progress: Callable[[Progress], None] = lambda _: None
    shipping: Callable[[int], None] = lambda _: None


@dataclass
class StopSwitch:
    """Stops a run from outside, before or after its loop exists."""

    requested: bool = False
    _grace: float | None = field(default=None, repr=False)
    _runner: Runner | None = field(default=None, repr=False)

    def attach(self, runner: Runner) -> None:
        self._runner = runner
        if self.requested:
            runner.stop(self._grace)

    def __call__(self, grace: float | None = None) -> None:
        """Stop; trials in flight may finish, within `grace` seconds if that is given."""
        self.requested, self._grace = True, grace
        if self._runner is not None:
            self._runner.stop(grace)


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    progress: Progress
    waiting: int
    stopped: bool


def run_study(study: Study, *, engine: Engine = "ray", results: str | None = None) -> Results:
    """Bring a study to its budget and return its results; run again, it continues.

    Args:
        study: the declaration.
        engine: "ray" uses all slots; "serial" trains here, one pack after another.
        results: results folder; by default as the command line chooses it.

    Raises:
        GradstabError: with one sentence that says what to do.
    """
    settings = resolve_settings(study, None, results)
    drive(study, settings, source=None, engine=engine)
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
) -> Ended:
    """Run the study's loop as its one driver, then let what waits be shipped.

    Args:
        source: the study's file, copied beside the results.
        work: what workers do with a pack; training by default.
        force: take the study over from another driver.
        retry_failed: try failed trials again, under new numbers.
        report: remake the study's report and heat maps in the background, and once more at the end.
    """
    listener, stop = listener or Listener(), stop or StopSwitch()
    folder = StudyFolder.of(settings.results_root(), study.name)
    check_credentials(settings.tracking.value or "", settings.mlflow_env)
    with hold_study(folder, settings, force=force):
        study = folder.with_known_data(study)
        folder.claim(study, source, restore_lost_folder(folder, study, settings, listener.found))
        with (
            closing(open_executor(study, settings, engine, work, listener.found)) as executor,
            closing(open_searcher(study, settings, listener.found)) as searcher,
        ):
            num_slots = (
                len(executor.slots) or study.resources.slots or 1
            )  # none yet where an autoscaler is to bring them
            # not sooner: its start takes seconds of a core, and the workers' comes first
            tracker = start_tracker(folder, study, settings)
            remaker = ReportProcess(folder.path, FEWEST_TRIALS if report else math.inf)
            try:
                runner = Runner(
                    study,
                    folder.path,
                    searcher,
                    executor,
                    tracker,
                    limits=_limits(study, num_slots),
                    costs=stored_cost_models(),
                    on_progress=_Reporter(folder, study, settings, listener, remaker, executor),
                )
                stop.attach(runner)
                runner.recover(retry_failed=retry_failed)
                _say_what_was_found(runner, listener)
                progress = runner.run()
                store_cost_models(runner.speeds.costs)
            except Exception:
                # not for a second Ctrl-C, which must exit at once: the shipper then ends when its pipe breaks
                remaker.abandon()
                _close(tracker, listener)
                raise
        remaker.close(lambda: stop.requested, listener.found)  # before the tracker, which ships it
        certificate = read_certificate(folder.path) if study.stop is not None else None
        if certificate is not None:
            listener.found(certificate.verdict())
        waiting = _close(tracker, listener)
    return Ended(progress, waiting, stop.requested)


def _limits(study: Study, num_slots: int) -> Limits:
    seconds = None if study.budget.minutes is None else 60 * study.budget.minutes
    return Limits(memory_of_a_slot(num_slots), seconds)


def start_tracker(folder: StudyFolder, study: Study, settings: Settings) -> Tracker:
    """Start the shipper, a process of its own, on a study's folder."""
    from gradstab.tracking.shipper_process import ShipperProcess

    save_order(folder.path, shipping_order(folder, study, settings, Progress(study.budget.trials)))
    return ShipperProcess(folder.path, settings.mlflow_env)


def shipping_order(folder: StudyFolder, study: Study, settings: Settings, progress: Progress) -> ShippingOrder:
    """What the shipper is told of a study and how far it has come."""
    uri = settings.tracking.value or ""
    # a database has no place for artifacts of its own; a server has
    database = storage_file(uri)
    artifacts = settings.results_root() / "mlflow" if postgresql_url(uri) else database.parent if database else None
    if artifacts is not None:
        make_folder(artifacts)
    return ShippingOrder(
        study=study.name,
        study_id=folder.study_id(),
        fingerprint=study.fingerprint(),
        uri=uri,
        artifact_root=str(artifacts / "artifacts") if artifacts else None,
        question=study.question,
        study_file=folder.source_name(),
        resolved=study.dump(),
        versions=versions(),
        git_commit=git_commit(),
        criterion=study.criterion,
        budget=study.budget.trials,
        children=study.tracking.children,
        beyond=study.tracking.beyond,
        detail=study.tracking.detail,
        counts={"done": progress.done, "failed": progress.failed, **progress.verdicts},
        in_flight=progress.in_flight,
        settings=settings.shown(),
        updated_ms=time.time_ns() // 1_000_000,
    )


def open_searcher(study: Study, settings: Settings, report: Callable[[str], None] = lambda _: None) -> OptunaSearcher:
    """The study's Optuna study, made if there is none; `report` hears when its server is away."""
    from gradstab.search.searcher import OptunaSearcher

    return OptunaSearcher(
        settings.storage.value or "",
        study.name,
        study.space,
        study.sampler,
        study_seed=study.seed,
        replicates=study.replicates,
        fingerprint=study.fingerprint(),
        report=report,
        bands=study.bands(),
        error=None if study.stop is None else study.stop.error,
    )


def open_executor(
    study: Study, settings: Settings, engine: Engine, work: Work | None, report: Callable[[str], None]
) -> Executor:
    """Slots to work on: in this process, or Ray's; `report` hears where a cluster's dashboard is."""
    if work is None:
        from gradstab.training.work import TrainingWork

        work = TrainingWork(study.data, study.seed)
    if engine == "serial":
        from gradstab.execution.serial_executor import SerialExecutor

        if study.resources.device == "gpu":
            raise UsageError(
                "the engine must be Ray where resources.device is gpu, got serial, which trains on a CPU: "
                "leave --engine out, or set resources.device to any"
            )
        return SerialExecutor(work)
    from gradstab.execution.ray_executor import RayExecutor

    wanted = study.resources
    return RayExecutor(
        work,
        wanted.slots,
        address=settings.ray_address.value,
        device=wanted.device,
        gpu_share=wanted.gpu_share,
        report=report,
    )


def memory_of_a_slot(num_slots: int) -> int:
    """Bytes that a pack may take: half of what is free now, shared by the slots."""
    import psutil

    return int(psutil.virtual_memory().available * 0.5 / num_slots)


def sync(folder: StudyFolder, settings: Settings, listener: Listener) -> int:
    """Ship what waits; how many trials still wait after that."""
    study = folder.study()
    check_credentials(settings.tracking.value or "", settings.mlflow_env)
    with folder.locked():
        tracker = start_tracker(folder, study, settings)
        results = Results(folder)
        progress = Progress(study.budget.trials, results.verdicts())
        progress.failed = progress.verdicts.pop("failed", 0)
        save_order(folder.path, shipping_order(folder, study, settings, progress))
        return _close(tracker, listener)


def _close(tracker: Tracker, listener: Listener) -> int:
    """Let the tracker finish while the listener hears what still waits; how many trials wait in the end."""
    best, since = tracker.waiting(), time.monotonic()
    while best > 0 and time.monotonic() - since < (TROUBLE_PATIENCE if tracker.last_error() else SYNC_PATIENCE):
        listener.shipping(best)
        time.sleep(0.2)
        waiting = tracker.waiting()
        if waiting < best:
            best, since = waiting, time.monotonic()
    trouble = tracker.last_error() if best > 0 else None
    if trouble:
        listener.found(trouble)
    return tracker.close(SYNC_PATIENCE if best == 0 else 0.0)


class _Reporter:
    """Passes progress on: to listener and report at once, to the tracker's job file every few seconds."""

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
        self._saved = 0.0

    def __call__(self, progress: Progress) -> None:
        self._listener.progress(progress)
        self._report.notify(progress.done, progress.new)
        if time.monotonic() - self._saved > JOB_SECONDS or not progress.in_flight:
            folder, *_ = self._parts
            save_order(folder.path, shipping_order(*self._parts, progress))
            progress.slots.save(folder.path, self._executor.slots)
            self._saved = time.monotonic()


def _say_what_was_found(runner: Runner, listener: Listener) -> None:
    progress = runner.progress
    for path in runner.set_aside:
        listener.found(f"{path.name} was truncated or altered: set aside, its trials run again")
    if not progress.done and not runner.resumed:
        return
    sentence = f"{progress.done} of {progress.total} done"
    if runner.resumed:
        sentence += f", {len(runner.resumed)} in flight when it stopped: running them again"
    listener.found(sentence)
