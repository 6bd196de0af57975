"""The loop: proposals become trials, trials become packs, and packs become records.

A result is first recorded, then told to storage, then shipped. Nothing here knows torch, Optuna, Ray or MLflow:
ports.py has the interfaces to them.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gradstab.loop.attempts import AttemptLog
from gradstab.loop.cost_model import CostModel
from gradstab.loop.pack_queue import PackQueue
from gradstab.loop.ports import Executor, Kind, PackResult, Searcher, Tracker, TrialValue
from gradstab.loop.recovery import find_remaining, restore_lost_trials
from gradstab.loop.slot_board import SlotBoard
from gradstab.loop.speeds import Speeds
from gradstab.loop.trial import Trial
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
from gradstab.record.trajectory import Trajectory
from gradstab.stability.judgement import Judgement, judge
from gradstab.study.study import Study
from gradstab.system.failpoints import failpoint

_WAIT_SECONDS = 0.5


@dataclass
class Progress:
    """How far a study has come.

    Attributes:
        total: the budget in trials.
        verdicts: finished trials by verdict.
        failed: the number of trials that the machine failed for good.
        in_flight: the numbers of the trials that train now.
        waiting: the number of recorded trials that MLflow does not have yet.
        new: the number of trials that this run has finished.
        seconds: since this run began.
        slots: what every slot does.
    """

    total: int
    verdicts: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    in_flight: tuple[int, ...] = ()
    waiting: int = 0
    new: int = 0
    seconds: float = 0.0
    slots: SlotBoard = field(default_factory=SlotBoard)

    @property
    def done(self) -> int:
        return sum(self.verdicts.values()) + self.failed

    @property
    def rate(self) -> float:
        """Trials a second of this run."""
        return self.new / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Limits:
    """What one run may use: memory of a pack in bytes, and a time limit in seconds."""

    pack_bytes: int
    seconds: float | None = None


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
    """

    def __init__(
        self,
        study: Study,
        folder: Path,
        searcher: Searcher,
        executor: Executor,
        tracker: Tracker,
        *,
        limits: Limits,
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
        self._running: dict[int, Trial] = {}  # by number
        self._ended: deque[PackResult] = deque()  # packs whose results are not recorded yet
        self._next_segment = 0
        self._stopping = False
        self._abandon_at = math.inf
        self._certificate: Certificate | None = None
        self._started = self._counted = time.monotonic()
        self.progress = Progress(total=study.budget.trials)
        self.set_aside: list[Path] = []
        self.resumed: tuple[int, ...] = ()

    def stop(self, grace: float | None = None) -> None:
        """Start no more packs. Those that run are recorded if they end within `grace` seconds; None waits for all."""
        self._stopping = True
        if grace is not None:
            self._abandon_at = min(self._abandon_at, time.monotonic() + grace)

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

    def run(self) -> Progress:
        """Train until the budget or the stop is reached, the time is up or `stop` was called; returns the progress."""
        self._started = time.monotonic()
        while True:
            self.progress.seconds = time.monotonic() - self._started
            # refill idle slots before writing results, except with adaptive samplers, which must see the results first
            if not self._study.is_adaptive or not self._ended:
                self._submit_packs()
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
            least = self._study.resources.pack_seconds
            self._executor.submit(pack, self.speeds.patience(pack, slot.kind, least, tries))
            self.progress.slots.record_start(slot, pack)

    def _waits_for_slots(self) -> bool:
        """Whether there is work but no slot: every node of a cluster is gone, and another may join."""
        work_left = self._queue.num_left > 0 or len(self._queue) > 0
        return work_left and not self._stopping and not self._executor.idle()

    def _receive(self, results: Sequence[PackResult]) -> None:
        for result in results:
            for trial in result.trials:
                del self._running[trial.number]
            self.speeds.learn(result)
            self.progress.slots.record_end(result)
            self._ended.append(result)

    def _record_and_tell(self, result: PackResult) -> None:
        """Record the results of a pack, then tell storage, then let the tracker ship them."""
        if result.trajectories is None:
            records = self._count_loss(result)
        else:
            records = [
                self._record(trial, result, trajectory=trajectory)
                for trial, trajectory in zip(result.trials, result.trajectories, strict=True)
            ]
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
        return [self._record(trial, result, failure=failure) for trial in failed]

    def _record(
        self,
        trial: Trial,
        result: PackResult,
        *,
        trajectory: Trajectory | None = None,
        failure: Failure | None = None,
    ) -> Record:
        return Record(
            number=trial.number,
            seed=trial.seed,
            point=trial.point,
            recipe=trial.recipe.model_dump(),
            device=f"{result.slot.kind}:{result.slot.name}",
            started_ms=result.started_ms,
            finished_ms=result.finished_ms,
            retry_of=trial.retry_of,
            attempts=self._attempts.attempts(trial.number) + (1 if failure is None else 0),
            trajectory=trajectory,
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
        if time.monotonic() - self._counted > _WAIT_SECONDS or not self._running:  # it reads files
            self.progress.waiting = self._tracker.waiting()
            self._counted = time.monotonic()
        self._on_progress(self.progress)


def told_attributes(judgement: Judgement) -> dict[str, float | int | str]:
    """The attributes that stand beside the margin in Optuna: the responses and the labels."""
    attributes: dict[str, float | int | str | None] = {
        **{str(name): value for name, value in judgement.responses.items()},
        "phase": judgement.phase,
        "outcome": judgement.outcome,
        "verdict": judgement.verdict,
    }
    return {name: value for name, value in attributes.items() if value is not None}
