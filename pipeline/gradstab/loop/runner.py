"""The loop: proposals become trials, trials become packs, and packs become records.

A result is first recorded, then told to storage, then shipped. Nothing here knows torch, Optuna, Ray or MLflow:
ports.py has the interfaces to them.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradstab.loop.attempts import AttemptLog
from gradstab.loop.cost_model import CostModel
from gradstab.loop.pack_queue import PackQueue
from gradstab.loop.patience import patience_with
from gradstab.loop.ports import Executor, Kind, Outcome, PackResult, Searcher, Tracker, TrialValue
from gradstab.loop.program_faults import ProgramFaults
from gradstab.loop.progress import KnowsRegion, Progress
from gradstab.loop.recovery import find_remaining, restore_lost_trials
from gradstab.loop.speeds import Speeds
from gradstab.loop.trial import Trial
from gradstab.loop.workload import Workload
from gradstab.record.certificate import Certificate, write_certificate
from gradstab.record.failure import Failure, FailureKind
from gradstab.record.segments import (
    CorruptSegmentError,
    Record,
    read_segment,
    segment_index,
    segment_paths,
    write_segment,
)
from gradstab.stability.judgement import Judgement, judge
from gradstab.study.study import Study
from gradstab.system.failpoints import failpoint

FINISH_SECONDS = 15.0  # that trials in flight have to end when a run is stopped
_FINISH_SHARE = 0.7  # of the grace; what is left of it is for the last step and for records
_WAIT_SECONDS = 0.5


@dataclass(frozen=True)
class RunSettings:
    """What one run may use, memory of a pack in bytes and a time limit in seconds, and the hash of the user's code."""

    pack_bytes: int
    seconds: float | None = None
    code: str | None = None


class Runner:
    """Brings a study to its budget, or continues it.

    Args:
        study: the declaration.
        folder: the study's results folder, locked by the caller.
        costs: the known speed of each kind of slot.
        on_progress: called after every change and at least every half second.

    Attributes:
        speeds: what the packs of this run have shown of the speed of each kind of slot.
        progress: how far the study has come.
        set_aside: corrupt segments that `recover` has renamed; their trials are trained again.
        resumed: the numbers of trials that the last run left unfinished.
        num_given_back: how many trials did not end when the run was stopped.
    """

    def __init__(
        self,
        study: Study,
        folder: Path,
        searcher: Searcher,
        executor: Executor,
        tracker: Tracker,
        *,
        limits: RunSettings,
        costs: Mapping[Kind, CostModel],
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._study = study
        self._folder = folder
        self._searcher = searcher
        self._executor = executor
        self._tracker = tracker
        self._limits = limits
        self.speeds = Speeds(study.data.shape(), costs)
        self._on_progress = on_progress
        self._attempts = AttemptLog(folder / "attempts.jsonl")
        self._queue = PackQueue(
            study,
            searcher,
            self._attempts,
            self.speeds,
            num_slots=len(executor.slots),
            pack_bytes=limits.pack_bytes,
        )
        self._workload = Workload(self.speeds)
        self._running: dict[int, Trial] = {}  # by number
        self._faults = ProgramFaults()
        self._ended: deque[PackResult] = deque()  # packs whose results are not recorded yet
        self._next_segment = 0
        self._stopping = False
        self._finish_by = math.inf  # when packs should have ended, in seconds of the monotonic clock
        self._drained = False
        self._abandon_at = math.inf
        self._certificate: Certificate | None = None
        self._started = self._counted = time.monotonic()
        self.progress = Progress(total=study.budget.trials)
        self.set_aside: list[Path] = []
        self.resumed: tuple[int, ...] = ()
        self.num_given_back = 0

    def stop(self, grace: float | None = None) -> None:
        """Start no more packs, and let those that run end soon; a signal handler may call this.

        Trials that will probably end within FINISH_SECONDS do; the others are trained by the next run.

        Args:
            grace: seconds after which packs are abandoned that still run then. Without it, packs whose work does not
                run in steps are waited for.
        """
        self._stopping, now = True, time.monotonic()
        self._finish_by = min(self._finish_by, now + FINISH_SECONDS)
        if grace is not None:
            self._finish_by = min(self._finish_by, now + _FINISH_SHARE * grace)
            self._abandon_at = min(self._abandon_at, now + grace)

    def recover(self, *, retry_failed: bool = False) -> None:
        """Make storage agree with the record: tell it the results it lacks, and queue the trials without a result."""
        state = restore_lost_trials(self._folder, self._searcher)
        recorded: set[int] = set()
        for path in segment_paths(self._folder):
            self._next_segment = max(self._next_segment, segment_index(path) + 1)
            try:
                records = read_segment(path)
            except CorruptSegmentError:
                path.rename(path.with_name(f"corrupt-{path.name}"))
                self.set_aside.append(path)
                continue
            with self._searcher.batched_tells():
                for record in records:
                    if record.number not in recorded:
                        recorded.add(record.number)
                        self._tell(record, known=record.number in state.told or record.number in state.failed)
        left = find_remaining(self._searcher, recorded, self._study.budget.trials, retry_failed=retry_failed)
        self.resumed = tuple(proposal.number for proposal in left.interrupted)
        self._queue.add([*left.unrecorded, *left.interrupted])
        self._queue.num_asked, self.progress.failed = left.asked, left.failed
        self._update_certificate()

    @property
    def is_complete(self) -> bool:
        """Whether the budget or the stop is reached: no trial is left to train, and none is being trained."""
        left = len(self._running) + self._queue.num_left + len(self._queue) + self.num_given_back
        return left == 0

    def run(self) -> Progress:
        """Train until the budget or the stop is reached, the time is up or `stop` was called; returns the progress."""
        self._started = time.monotonic()
        while True:
            self.progress.seconds = time.monotonic() - self._started
            # refill idle slots before writing results, except with adaptive samplers, which must see the results first
            if not self._study.is_adaptive or not self._ended:
                self._submit_packs()
            self._drain_when_stopping()
            self._report_progress()
            if self._ended:
                self._record_and_tell(self._ended.popleft())
            elif (not self._running and not self._waits_for_slots()) or time.monotonic() > self._abandon_at:
                return self.progress
            ask_ahead = not self._stopping and self._queue.is_short(len(self._running))
            self._receive(self._executor.wait(0.0 if self._ended or ask_ahead else _WAIT_SECONDS))
            if ask_ahead and not self._ended:
                slots = self._executor.slots
                self._queue.ask(slots[0].kind if slots else "cpu", slots)

    def _submit_packs(self) -> None:
        if self._limits.seconds is not None and time.monotonic() - self._started > self._limits.seconds:
            self.stop()
        for _ in range(0 if self._stopping else self._executor.idle()):
            slot = self._executor.next_slot()
            pack = self._queue.next_pack(slot.kind, self._executor.slots, slot.memory)
            if not pack:
                return
            self._running.update((trial.number, trial) for trial in pack)
            tries = max(self._attempts.attempts(trial.number) for trial in pack)
            patience = patience_with(pack, slot.kind, self.speeds, self._study.resources.pack_seconds, tries)
            self._executor.submit(pack, patience.seconds, patience.step_seconds)
            self._workload.start(slot, pack)
            self.progress.slots.record_start(slot, pack)

    def _drain_when_stopping(self) -> None:
        """Ask the packs that run, once, to end soon. Not in `stop`: that interrupts what the executor does."""
        if self._stopping and not self._drained:
            self._drained = True
            self._executor.drain(max(0.0, self._finish_by - time.monotonic()))

    def _waits_for_slots(self) -> bool:
        """Whether there is work but no slot: every node of a cluster is gone, and another may join."""
        work_left = self._queue.num_left > 0 or len(self._queue) > 0
        return work_left and not self._stopping and not self._executor.idle()

    def _receive(self, results: Sequence[PackResult]) -> None:
        for result in results:
            for trial in (*result.trials, *result.given_back):
                del self._running[trial.number]
            if not result.given_back:  # else its time is that of other trials too
                self.speeds.learn(result)
            self.num_given_back += len(result.given_back)
            self._workload.end(result)
            self.progress.underway = self._workload.trials_underway()
            self.progress.slots.record_end(result)
            self._ended.append(result)

    def _record_and_tell(self, result: PackResult) -> None:
        """Record the results of a pack, then tell storage, then let the tracker ship them."""
        if result.outcomes is None:
            records = self._count_loss(result)
        else:
            ended = zip(result.trials, result.outcomes, strict=True)
            records = [self._record(trial, result, outcome) for trial, outcome in ended]
        if not records:
            return
        write_segment(self._folder, self._next_segment, records)
        self._next_segment += 1
        failpoint("record")
        with self._searcher.batched_tells():
            for record in records:
                self._tell(record, known=False)
                self.progress.new += 1
        self._update_certificate()
        self._tracker.notify()
        self._faults.require_few(records)

    def _update_certificate(self) -> None:
        """Find out whether the study's stop is reached, and record how the study stands against it."""
        certificate = self._searcher.certificate()
        if certificate is not None and certificate != self._certificate:
            write_certificate(self._folder, certificate)
        self._certificate = certificate
        self._queue.certified = certificate is not None and certificate.certified

    def _count_loss(self, result: PackResult) -> list[Record]:
        """Log a failed pack and queue its trials again; records of the trials that have now failed for good."""
        failure = result.failure or Failure(FailureKind.WORKER_LOST)
        self._attempts.record_failure([trial.number for trial in result.trials], failure)
        failed: list[Trial] = []
        again: list[Trial] = []
        for trial in result.trials:
            (failed if self._attempts.has_failed(trial.number) else again).append(trial)
        self._queue.put_back(again)
        return [self._record(trial, result, failure) for trial in failed]

    def _record(self, trial: Trial, result: PackResult, outcome: Outcome) -> Record:
        failure = outcome if isinstance(outcome, Failure) else None
        return Record(
            number=trial.number,
            seed=trial.seed,
            point=trial.point,
            recipe=trial.recipe.model_dump(),
            device=f"{result.slot.kind}:{result.slot.name}",
            started_ms=result.started_ms,
            finished_ms=result.finished_ms,
            retry_of=trial.retry_of,
            code=self._limits.code,
            attempts=self._attempts.attempts(trial.number) + (failure is None or failure.kind is FailureKind.PROGRAM),
            trajectory=None if isinstance(outcome, Failure) else outcome,
            failure=failure,
        )

    def _tell(self, record: Record, *, known: bool) -> None:
        """Count a record, and tell storage its result where that is not known there yet."""
        if record.trajectory is None:
            self.progress.failed += 1
            if not known:
                self._searcher.tell_failure(record.number, str(record.failure))
            return
        judgement = judge(record.trajectory, self._study.criterion)
        self.progress.verdicts[judgement.verdict] += 1
        if not known:
            self._searcher.tell(TrialValue(record.number, judgement.margin, told_attributes(judgement)))

    def _report_progress(self) -> None:
        self.progress.in_flight = tuple(self._running)
        if time.monotonic() - self._counted > _WAIT_SECONDS or not self._running:
            self.progress.waiting = self._tracker.waiting()  # it reads files
            self._look_ahead()
            self._counted = time.monotonic()
        self._on_progress(self.progress)

    def _look_ahead(self) -> None:
        """Find out how far the running packs are, and when the study will have ended."""
        shares = self._executor.shares()
        self._workload.follow(shares, self.progress.seconds)
        self.progress.slots.follow(shares)
        before = self.progress.done - self.progress.new
        forecast = self._workload.forecast(self._queue.waiting(), self._queue.num_left, before)
        self.progress.share, self.progress.seconds_left = forecast.share, forecast.seconds_left
        self.progress.underway = self._workload.trials_underway()
        if isinstance(self._searcher, KnowsRegion):
            self.progress.region = self._searcher.region_so_far()


def told_attributes(judgement: Judgement) -> dict[str, float | int | str]:
    """The attributes that stand beside the margin in Optuna: the responses and the labels."""
    attributes: dict[str, float | int | str | None] = {
        **{str(name): value for name, value in judgement.responses.items()},
        "phase": judgement.phase,
        "outcome": judgement.outcome,
        "verdict": judgement.verdict,
    }
    return {name: value for name, value in attributes.items() if value is not None}
