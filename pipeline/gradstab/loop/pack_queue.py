"""The trials that wait for a slot: when to ask for more of them, and how many make the next pack."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradstab.loop.attempts import AttemptLog
from gradstab.loop.pack_size import FIRST, MAX_PACK_TRIALS, USUAL, PackTime, pack_length, time_of_next_pack
from gradstab.loop.ports import Kind, Proposal, Searcher, Slot
from gradstab.loop.speeds import Speeds
from gradstab.loop.trial import Trial, trial_seed
from gradstab.loop.waiting_trials import WaitingTrials
from gradstab.study.pack_key import PackKey, pack_key
from gradstab.study.study import Study
from gradstab.theory.relative_scale import resolved_recipe

_MOST_UNTOLD = 256  # trials for which an adaptive sampler may lack the results, however many slots there are
_MOST_WAITING = 4096  # trials that are asked for before there is a slot for them
_MOST_GATHERED = 1024  # trials that are asked for so that those of one activation fill a pack
_ASKED_AT_ONCE = 64  # the most trials of one such call
_SAMPLE_OF_A_QUEUE = 32  # trials from which the time of a whole queue is estimated


class PackQueue:
    """Trials by pack key, in the order in which they were asked for.

    A sampler that does not look at results is asked well ahead, and a pack is made of trials with the activation of
    the one that has waited longest, and of similar depth: one stack instead of several, and full in its last layers.
    An adaptive sampler's trials are trained in the order of its batches.

    Args:
        num_slots: the number of slots at the start, which share what an adaptive sampler may have untold.
        pack_bytes: the memory that one pack may take on a slot whose own memory is not known.

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
        self._queues: dict[PackKey, WaitingTrials] = {}
        self.num_asked = 0
        self.certified = False

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def waiting(self) -> list[Trial]:
        """The trials that wait for a slot, in an order in which neighbours may make a pack."""
        trials = [trial for queue in self._queues.values() for trial in queue]
        if self._study.is_adaptive:
            return trials
        return sorted(trials, key=lambda trial: (trial.recipe.activation, trial.recipe.depth))

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
            self._queue_of(trial).append(trial)

    def put_back(self, trials: Sequence[Trial]) -> None:
        """Put the trials of a pack that failed in front: they are isolated first, in packs of their own."""
        if trials:
            self._queue_of(trials[0]).put_in_front(trials)

    def next_pack(self, kind: Kind, slots: Sequence[Slot], memory: int | None = None) -> list[Trial]:
        """Take trials of one key that make a pack for a slot of this kind.

        Asks for more trials where those that wait do not fill it. Empty where none are left.

        Args:
            memory: the bytes that a pack may take on the slot, where they are known.
        """
        max_bytes = self._pack_bytes if memory is None else memory
        while True:
            queue = max(self._queues.values(), key=len, default=None)
            if queue:
                pack, is_full = self._first_pack(queue, kind, slots, max_bytes)
                if is_full or not self.num_left or not self._may_ask_before(len(queue)):
                    return queue.take(pack)
            if not self.num_left:
                return []
            self.ask(kind, slots)

    def is_short(self, num_running: int) -> bool:
        """Whether it pays to `ask` while packs run, so that there is a pack for every slot that becomes idle."""
        if self._study.is_adaptive or not self.num_left:
            return False
        return len(self) < min(num_running, _MOST_WAITING)

    def ask(self, kind: Kind, slots: Sequence[Slot]) -> None:
        """Ask the searcher for whole points, at most about a pack of them for a slot of this kind."""
        replicates = self._study.replicates
        points = -(-self._batch // replicates)
        if not self._study.is_adaptive:
            typical = self._speeds.of(kind).seconds(self._study.recipe, self._shape)
            fitting = self._time_of_next(kind, slots).most / typical / replicates
            points = max(points, int(min(_ASKED_AT_ONCE, fitting)))
        proposals = self._searcher.ask(min(self.num_left, points * replicates))
        self.num_asked += len(proposals)
        self.add(proposals)

    def _queue_of(self, trial: Trial) -> WaitingTrials:
        return self._queues.setdefault(pack_key(trial.recipe), WaitingTrials(self._study.replicates))

    def _may_ask_before(self, num_queued: int) -> bool:
        """Whether the sampler may be asked again before trials that wait are trained."""
        return num_queued < self._batch if self._study.is_adaptive else len(self) < _MOST_GATHERED

    def _time_of_next(self, kind: Kind, slots: Sequence[Slot]) -> PackTime:
        usual = USUAL if self._speeds.of(kind).measured else FIRST
        sample = [trial for queue in self._queues.values() for trial in queue.first(_SAMPLE_OF_A_QUEUE)]
        if not sample:
            return time_of_next_pack(usual, math.inf)
        return time_of_next_pack(usual, self._speeds.seconds_for(sample, self.num_left + len(self), slots))

    def _first_pack(
        self, queue: WaitingTrials, kind: Kind, slots: Sequence[Slot], max_bytes: int
    ) -> tuple[list[Trial], bool]:
        """The next pack from a queue that is not empty, and whether further trials would not enlarge it."""
        cap = self._attempts.largest_pack(queue.first(1)[0].number)
        if cap is not None:
            trials = queue.first(cap)
            return trials[: self._length(trials, kind, USUAL, max_bytes)[0]], True
        if self._study.is_adaptive:
            trials = queue.first(MAX_PACK_TRIALS + 1)
            capped = (i for i, trial in enumerate(trials) if self._attempts.largest_pack(trial.number) is not None)
            trials = trials[: next(capped, len(trials))]
        else:
            trials = queue.like_first(self._attempts)
        count, is_full = self._length(trials, kind, self._time_of_next(kind, slots), max_bytes)
        whole = queue.whole_points(trials, count)
        if not whole:  # one point takes longer than a pack should: its replicates make one as far as the memory goes
            trials = list(queue.of_first_point(trials))
            whole, is_full = self._length(trials, kind, PackTime(math.inf, math.inf), max_bytes)[0], True
        return trials[:whole], is_full

    def _length(self, trials: Sequence[Trial], kind: Kind, time: PackTime, max_bytes: int) -> tuple[int, bool]:
        recipes = [trial.recipe for trial in trials]
        return pack_length(recipes, self._shape, self._speeds.of(kind), time, max_bytes)
