"""The loop: proposals become trials, trials become packs, packs become records; recorded, then told, then shipped.

Nothing here knows torch, Optuna, Ray or MLflow: see ports.py for what stands behind the loop.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from gradstab.loop.attempts import AttemptLog
from gradstab.loop.packing import MAX_PACK_TRIALS, CostModel, pack_length
from gradstab.loop.ports import Executor, Kind, PackResult, Proposal, Searcher, Slot, Tracker, TrialValue
from gradstab.loop.recovery import find_remaining, restore_lost_trials
from gradstab.loop.slot_board import SlotBoard
from gradstab.loop.speeds import Speeds
from gradstab.loop.trial import Trial, trial_seed
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
from gradstab.study.pack_key import DataShape, PackKey, pack_key
from gradstab.study.study import Study
from gradstab.system.failpoints import failpoint
from gradstab.theory.relative_scale import resolved_recipe

TARGET_SECONDS = 3.0  # of work in a pack: long against a call to a worker, short against a person's patience
FIRST_TARGET_SECONDS = 0.5  # before this machine's speed is known
MOST_UNTOLD = 256  # trials that an adaptive sampler has out at a time, however many slots there are
MOST_IN_STORE = 4096  # trials asked for ahead of the slots
TYPICAL_OF = 64
WAIT_SECONDS = 0.5


@dataclass
class Progress:
    """Where a study stands.

    Attributes:
        total: the budget in trials.
        verdicts: finished trials by verdict.
        failed: trials whose machine failed for good.
        in_flight: numbers being trained now.
        waiting: recorded trials that MLflow does not have yet.
        new: trials finished by this run.
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
    """Brings a study to its budget; run again, it continues.

    Args:
        study: the declaration.
        folder: the study's results folder, locked by the caller.
        costs: what is known of the speed of each kind of slot; `self.speeds` learns.
        on_progress: called after every change and at least every half second.
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
        self._shape: DataShape = study.data.shape()
        share = MOST_UNTOLD // max(1, len(executor.slots))
        self._batch = max(1, study.replicates, min(study.sampler.ask_batch_size(), share))
        self._attempts = AttemptLog(folder / "attempts.jsonl")
        self._pending: dict[PackKey, deque[Trial]] = {}
        self._flying: dict[int, Trial] = {}
        self._ended: deque[PackResult] = deque()
        self._asked = 0
        self._next_segment = 0
        self._stopping = False
        self._abandon_at = math.inf
        self._certificate: Certificate | None = None
        self._begun = self._counted = time.monotonic()
        self.progress = Progress(total=study.budget.trials)
        self.set_aside: list[Path] = []
        self.resumed: tuple[int, ...] = ()

    def stop(self, grace: float | None = None) -> None:
        """Ask for nothing more; packs in flight finish and are recorded, those that do within `grace` seconds."""
        self._stopping = True
        if grace is not None:
            self._abandon_at = min(self._abandon_at, time.monotonic() + grace)

    def recover(self, *, retry_failed: bool = False) -> None:
        """Make storage agree with the record: tell what was recorded but not told, queue what was cut off or failed."""
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
                        self._settle(record, told=record.number in state.told or record.number in state.failed)
        left = find_remaining(self._searcher, recorded, self._study.budget.trials, retry_failed=retry_failed)
        self.resumed = tuple(proposal.number for proposal in left.interrupted)
        self._enqueue([*left.unrecorded, *left.interrupted])
        self._asked, self.progress.failed = left.asked, left.failed
        self._look()

    def run(self) -> Progress:
        """Train until the budget is reached, the time is up or `stop` was called; returns where the study stands."""
        self._begun = time.monotonic()
        while True:
            self.progress.seconds = time.monotonic() - self._begun
            # free slots go on before the books are kept; but an adaptive sampler must be told before it is asked
            if not self._study.is_adaptive or not self._ended:
                self._submit_packs()
            self._report()
            if self._ended:
                self._keep(self._ended.popleft())
            elif (not self._flying and not self._lacks_slots()) or time.monotonic() > self._abandon_at:
                return self.progress
            ahead = self._short_of_trials()
            self._receive(self._executor.wait(0.0 if self._ended or ahead else WAIT_SECONDS))
            if ahead and not self._ended:
                self._ask_for_a_pack(self.speeds.of(next(iter(self._executor.slots), Slot("")).kind))

    def _short_of_trials(self) -> bool:
        """Whether the time until a pack ends is well used by asking: there should be a pack in store for every slot."""
        if self._stopping or self._study.is_adaptive or self._left() <= 0:
            return False
        return sum(map(len, self._pending.values())) < min(len(self._flying), MOST_IN_STORE)

    def _submit_packs(self) -> None:
        if self._limits.seconds is not None and time.monotonic() - self._begun > self._limits.seconds:
            self.stop()
        for _ in range(0 if self._stopping else self._executor.idle()):
            slot = self._executor.next_slot()
            pack = self._next_pack(self.speeds.of(slot.kind))
            if not pack:
                return
            self._flying.update((trial.number, trial) for trial in pack)
            tries = max(self._attempts.attempts(trial.number) for trial in pack)
            least = self._study.resources.pack_seconds
            self._executor.submit(pack, self.speeds.patience(pack, slot.kind, least, tries))
            self.progress.slots.started(slot, pack)

    def _lacks_slots(self) -> bool:
        """Whether there is work and nothing to do it on: every node of a cluster is gone, and another may join."""
        left = self._left() > 0 or any(self._pending.values())
        return left and not self._stopping and not self._executor.idle()

    def _next_pack(self, cost: CostModel) -> list[Trial]:
        """Trials of one key for about the target time; asks for more where the longest queue is shorter than that."""
        while True:
            queue = max(self._pending.values(), key=len, default=None)
            count = self._fitting(queue, cost) if queue else 0
            complete = queue is not None and count < len(queue)
            left = self._left()
            if queue and (complete or left <= 0 or not self._may_ask(len(queue))):
                return [queue.popleft() for _ in range(count)]
            if left <= 0:
                return []
            self._ask_for_a_pack(cost)

    def _target_seconds(self, cost: CostModel) -> float:
        """Shorter packs at first, while speed is unknown, and at the end, so that slots finish together."""
        target = TARGET_SECONDS if cost.measured else FIRST_TARGET_SECONDS
        queued = [trial for queue in self._pending.values() for trial in islice(queue, TYPICAL_OF)]
        if not queued:
            return target
        left = self._left() + sum(map(len, self._pending.values()))
        seconds_left = self.speeds.seconds_for(queued, left, self._executor.slots)
        return min(target, max(seconds_left / 2, 0.1 * target))

    def _left(self) -> int:
        """Trials that may still be asked for."""
        certified = self._certificate is not None and self._certificate.certified
        return 0 if certified else self._study.budget.trials - self._asked

    def _may_ask(self, queued: int) -> bool:
        return not self._study.is_adaptive or queued < self._batch

    def _ask_for_a_pack(self, cost: CostModel) -> None:
        """Ask for whole points, about a pack, and put them in store."""
        left, replicates = self._left(), self._study.replicates
        points = -(-self._batch // replicates)
        if not self._study.is_adaptive:
            typical = cost.seconds(self._study.recipe, self._shape)
            points = max(points, min(64, int(self._target_seconds(cost) / typical / replicates)))
        proposals = self._searcher.ask(min(left, points * replicates))
        self._asked += len(proposals)
        self._enqueue(proposals)

    def _fitting(self, queue: deque[Trial], cost: CostModel) -> int:
        """How many trials from the front of the queue make the next pack; replicates of a point stay together."""
        cap = self._attempts.largest_pack(queue[0].number)
        trials = list(islice(queue, cap or MAX_PACK_TRIALS + 1))
        count = self._pack_length(trials, cost, self._target_seconds(cost))
        if count == len(queue) or cap is not None:
            return count
        for index, trial in enumerate(trials[:count]):
            if index > 0 and self._attempts.largest_pack(trial.number) is not None:
                return index
        point_of = [trial.number // self._study.replicates for trial in trials]
        whole = count
        while 0 < whole < len(trials) and point_of[whole - 1] == point_of[whole]:
            whole -= 1
        # where one point takes longer than the target, its replicates are a pack as far as memory goes
        return whole or self._pack_length(trials[: point_of.count(point_of[0])], cost, math.inf)

    def _pack_length(self, trials: Sequence[Trial], cost: CostModel, target: float) -> int:
        recipes = [trial.recipe for trial in trials]
        return pack_length(recipes, self._shape, cost, target, self._limits.pack_bytes)

    def _enqueue(self, proposals: Sequence[Proposal]) -> None:
        for proposal in proposals:
            recipe = resolved_recipe(self._study, proposal.point)
            seed = trial_seed(self._study.seed, proposal.number)
            trial = Trial(proposal.number, proposal.point, recipe, seed, proposal.retry_of)
            self._pending.setdefault(pack_key(recipe), deque()).append(trial)

    def _receive(self, results: Sequence[PackResult]) -> None:
        for result in results:
            for trial in result.trials:
                del self._flying[trial.number]
            self.speeds.learn(result)
            self.progress.slots.ended(result)
            self._ended.append(result)

    def _keep(self, result: PackResult) -> None:
        """Record, then tell, then let ship."""
        if result.trajectories is None:
            records = self._lost(result)
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
                self._settle(record, told=False)
                self.progress.new += 1
        self._look()
        self._tracker.notify()

    def _look(self) -> None:
        """See whether the study's stop is reached, and put on record how it stands."""
        certificate = self._searcher.certificate()
        if certificate is not None and certificate != self._certificate:
            write_certificate(self._folder, certificate)
        self._certificate = certificate

    def _lost(self, result: PackResult) -> list[Record]:
        """Count the loss; queue the trials again, and return a failure's record for those past the limit."""
        failure = result.failure or Failure(FailureKind.WORKER_LOST)
        self._attempts.lost([trial.number for trial in result.trials], failure)
        failed: list[Trial] = []
        again: list[Trial] = []
        for trial in result.trials:
            (failed if self._attempts.exhausted(trial.number) else again).append(trial)
        if again:
            # to the front: trials in trouble are isolated first, in packs of their own
            self._pending.setdefault(pack_key(again[0].recipe), deque()).extendleft(reversed(again))
        return [self._record(trial, result, failure=failure) for trial in failed]

    def _record(self, trial: Trial, result: PackResult, **outcome: object) -> Record:
        return Record(
            number=trial.number,
            seed=trial.seed,
            point=trial.point,
            recipe=trial.recipe.model_dump(),
            device=f"{result.slot.kind}:{result.slot.name}",
            started_ms=result.started_ms,
            finished_ms=result.finished_ms,
            retry_of=trial.retry_of,
            attempts=self._attempts.attempts(trial.number) + (0 if "failure" in outcome else 1),
            **outcome,  # type: ignore[arg-type]
        )

    def _settle(self, record: Record, *, told: bool) -> None:
        """Count a record, and tell storage of it unless it knows."""
        if record.trajectory is None:
            self.progress.failed += 1
            if not told:
                self._searcher.tell_failure(record.number, str(record.failure))
            return
        judgement = judge(record.trajectory, self._study.criterion)
        self.progress.verdicts[judgement.verdict] += 1
        if not told:
            self._searcher.tell(TrialValue(record.number, judgement.margin, told_attributes(judgement)))

    def _report(self) -> None:
        self.progress.in_flight = tuple(self._flying)
        if time.monotonic() - self._counted > WAIT_SECONDS or not self._flying:  # it reads files
            self.progress.waiting = self._tracker.waiting()
            self._counted = time.monotonic()
        self._on_progress(self.progress)


def told_attributes(judgement: Judgement) -> dict[str, float | int | str]:
    """What stands beside the margin in Optuna: the responses and the labels."""
    told: dict[str, float | int | str | None] = {
        **{str(name): value for name, value in judgement.responses.items()},
        "phase": judgement.phase,
        "outcome": judgement.outcome,
        "verdict": judgement.verdict,
    }
    return {name: value for name, value in told.items() if value is not None}
