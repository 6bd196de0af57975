"""The trials that wait for a slot: when to ask for more of them, and how many make the next pack."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from itertools import islice

from gradstab.loop.attempts import AttemptLog
from gradstab.loop.packing import MAX_PACK_TRIALS, CostModel, pack_length
from gradstab.loop.ports import Kind, Proposal, Searcher, Slot
from gradstab.loop.speeds import Speeds
from gradstab.loop.trial import Trial, trial_seed
from gradstab.study.pack_key import PackKey, pack_key
from gradstab.study.study import Study
from gradstab.theory.relative_scale import resolved_recipe

TARGET_SECONDS = 3.0  # that a pack should take: long against a call to a worker, short for a user who waits
FIRST_TARGET_SECONDS = 0.5  # before this machine's speed is known
_MOST_UNTOLD = 256  # trials for which an adaptive sampler may lack the results, however many slots there are
_MOST_WAITING = 4096  # trials that are asked for before there is a slot for them
_SAMPLE_OF_A_QUEUE = 64  # trials from which the time of a whole queue is estimated


class PackQueue:
    """Trials by pack key, in the order in which they will train.

    Args:
        num_slots: the number of slots at the start, which share what an adaptive sampler may have untold.
        pack_bytes: the memory that one pack may take.

    Attributes:
        num_asked: the trials asked for so far that count toward the budget.
        certified: whether the study's stop is reached, so that no more trials are needed.
    """

    def __init__(
        self,
        study: Study,
        searcher: Searcher,
        attempts: AttemptLog,
        speeds: Speeds,
        *,
        num_slots: int,
        pack_bytes: int,
    ) -> None:
        self._study = study
        self._searcher = searcher
        self._attempts = attempts
        self._speeds = speeds
        self._pack_bytes = pack_bytes
        self._shape = study.data.shape()
        share = _MOST_UNTOLD // max(1, num_slots)
        self._batch = max(1, study.replicates, min(study.sampler.ask_batch_size(), share))
        self._queues: dict[PackKey, deque[Trial]] = {}
        self.num_asked = 0
        self.certified = False

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    @property
    def num_left(self) -> int:
        """How many trials may still be asked for."""
        return 0 if self.certified else max(0, self._study.budget.trials - self.num_asked)

    def add(self, proposals: Sequence[Proposal]) -> None:
        """Put trials at these points at the end."""
        for proposal in proposals:
            recipe = resolved_recipe(self._study, proposal.point)
            seed = trial_seed(self._study.seed, proposal.number)
            trial = Trial(proposal.number, proposal.point, recipe, seed, proposal.retry_of)
            self._queues.setdefault(pack_key(recipe), deque()).append(trial)

    def put_back(self, trials: Sequence[Trial]) -> None:
        """Put the trials of a pack that failed in front: they are isolated first, in packs of their own."""
        if trials:
            self._queues.setdefault(pack_key(trials[0].recipe), deque()).extendleft(reversed(trials))

    def next_pack(self, kind: Kind, slots: Sequence[Slot]) -> list[Trial]:
        """Take trials of one key that fill a slot of this kind for about the target time.

        Asks for more trials where the longest queue is shorter than that. Empty where none are left.
        """
        while True:
            queue = max(self._queues.values(), key=len, default=None)
            count = self._length_of_next(queue, kind, slots) if queue else 0
            fills_the_time = queue is not None and count < len(queue)
            if queue and (fills_the_time or not self.num_left or not self._may_ask_before(len(queue))):
                return [queue.popleft() for _ in range(count)]
            if not self.num_left:
                return []
            self.ask(kind, slots)

    def is_short(self, num_running: int) -> bool:
        """Whether it pays to `ask` while packs run, so that there is a pack for every slot that becomes idle."""
        if self._study.is_adaptive or not self.num_left:
            return False
        return len(self) < min(num_running, _MOST_WAITING)

    def ask(self, kind: Kind, slots: Sequence[Slot]) -> None:
        """Ask the searcher for whole points, about a pack of them for a slot of this kind."""
        replicates = self._study.replicates
        points = -(-self._batch // replicates)
        if not self._study.is_adaptive:
            typical = self._speeds.of(kind).seconds(self._study.recipe, self._shape)
            points = max(points, min(64, int(self._target_seconds(kind, slots) / typical / replicates)))
        proposals = self._searcher.ask(min(self.num_left, points * replicates))
        self.num_asked += len(proposals)
        self.add(proposals)

    def _may_ask_before(self, num_queued: int) -> bool:
        """Whether the sampler may be asked again before trials that wait are trained."""
        return not self._study.is_adaptive or num_queued < self._batch

    def _target_seconds(self, kind: Kind, slots: Sequence[Slot]) -> float:
        """Time of a pack: shorter while speed is unknown, and near the end, so that the slots finish together."""
        target = TARGET_SECONDS if self._speeds.of(kind).measured else FIRST_TARGET_SECONDS
        sample = [trial for queue in self._queues.values() for trial in islice(queue, _SAMPLE_OF_A_QUEUE)]
        if not sample:
            return target
        seconds_left = self._speeds.seconds_for(sample, self.num_left + len(self), slots)
        return min(target, max(seconds_left / 2, 0.1 * target))

    def _length_of_next(self, queue: deque[Trial], kind: Kind, slots: Sequence[Slot]) -> int:
        """How many trials from the front of the queue make the next pack; replicates of a point stay together."""
        cap = self._attempts.largest_pack(queue[0].number)
        trials = list(islice(queue, cap or MAX_PACK_TRIALS + 1))
        cost = self._speeds.of(kind)
        count = self._pack_length(trials, cost, self._target_seconds(kind, slots))
        if count == len(queue) or cap is not None:
            return count
        for index, trial in enumerate(trials[:count]):
            if index > 0 and self._attempts.largest_pack(trial.number) is not None:
                return index
        point_of = [trial.number // self._study.replicates for trial in trials]
        whole = count
        while 0 < whole < len(trials) and point_of[whole - 1] == point_of[whole]:
            whole -= 1
        # where one point takes longer than the target, its replicates make a pack as far as the memory goes
        return whole or self._pack_length(trials[: point_of.count(point_of[0])], cost, math.inf)

    def _pack_length(self, trials: Sequence[Trial], cost: CostModel, target_seconds: float) -> int:
        recipes = [trial.recipe for trial in trials]
        return pack_length(recipes, self._shape, cost, target_seconds, self._pack_bytes)
