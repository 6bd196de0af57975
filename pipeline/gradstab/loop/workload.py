"""How much of a study's work is done, at which rate, and how long the rest will take.

Trials differ in cost, so work is counted and not trials: the seconds that the cost model gives a pack, as multiples of
those that it gives the first trials of the run. What the model learns meanwhile about the speed of the machine then
changes nothing in what was counted before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gradstab.loop.ports import Kind, PackResult, Slot
from gradstab.loop.speeds import Speeds
from gradstab.loop.stacks import nominal_ends, stacks_in_order
from gradstab.loop.trial import Trial

_NOTE_SECONDS = 1.0  # between two notes of what is done
_LONGEST_VIEW_SECONDS = 600.0  # over which the rate is taken
_QUEUE_SECONDS = 5.0  # between two looks at the trials that wait
_MOST_PACKS_OF_QUEUE = 8  # that such a look costs
_TRIALS_OF_UNIT = 32


@dataclass(frozen=True)
class Forecast:
    """How much of a study's work is done, from 0 to 1, and the seconds that the rest will take; None if unknown."""

    share: float
    seconds_left: float | None


@dataclass(frozen=True)
class _Pack:
    """A running pack, the work of each of its stacks, and the share at which a worker tells that a stack has ended.

    A worker counts layers, whatever their activation costs; the cost model knows better.
    """

    trials: tuple[Trial, ...]
    works: list[float]
    told_ends: list[float]

    @property
    def work(self) -> float:
        return sum(self.works)

    def work_done(self, told: float) -> float:
        """The work that is done where a worker tells this share."""
        done = start = 0.0
        for work, end in zip(self.works, self.told_ends, strict=True):
            if told < end:
                return done + work * max(0.0, told - start) / (end - start)
            done, start = done + work, end
        return done


class Workload:
    """The work of one run of a study.

    The rate is that of the second half of the run so far: what starting costs, and what the first packs do while torch
    loads, says nothing of the rest.
    """

    def __init__(self, speeds: Speeds) -> None:
        self._speeds = speeds
        self._unit: tuple[tuple[Trial, ...], Kind] | None = None
        self._running: dict[str, _Pack] = {}  # by slot
        self._shares: Mapping[str, float] = {}
        self._ended_work = 0.0
        self._num_ended = 0
        self._notes: deque[tuple[float, float]] = deque()  # times and the work that was done then
        self._now = 0.0
        self._queue_work = (0.0, 0)  # of how many trials of the queue
        self._queue_seen_at = float("-inf")

    def start(self, slot: Slot, pack: Sequence[Trial]) -> None:
        """Count a pack that was submitted."""
        trials = tuple(pack)
        self._unit = self._unit or (trials[:_TRIALS_OF_UNIT], slot.kind)
        recipes = [trial.recipe for trial in trials]
        stacks = stacks_in_order(recipes)
        works = [self._work([trials[index] for index in members]) for members in stacks]
        self._running[slot.name] = _Pack(trials, works, nominal_ends(recipes, stacks))

    def end(self, result: PackResult) -> None:
        """Count a pack that has ended: its work is done as far as its trials are."""
        pack = self._running.pop(result.slot.name)
        if result.outcomes is not None:
            self._ended_work += pack.work * len(result.trials) / len(pack.trials)
            self._num_ended += len(result.trials)

    def follow(self, shares: Mapping[str, float], seconds: float) -> None:
        """Take over the shares of running packs that are done, by slot, `seconds` after the run began."""
        self._shares, self._now = shares, seconds
        if self._notes and seconds - self._notes[-1][0] < _NOTE_SECONDS:
            return
        self._notes.append((seconds, self._done()))
        begin = max(seconds / 2, seconds - _LONGEST_VIEW_SECONDS)
        while len(self._notes) > 2 and self._notes[1][0] < begin:
            self._notes.popleft()

    def trials_underway(self) -> float:
        """How many trials the done parts of running packs come to."""
        return sum(
            self._done_of(slot) / pack.work * len(pack.trials) for slot, pack in self._running.items() if pack.work
        )

    def forecast(self, queued: Sequence[Trial], num_others: int, num_before: int) -> Forecast:
        """How far the study is, and when it will have ended at the rate so far.

        Args:
            queued: trials that wait for a slot, in order.
            num_others: how many more trials there will be; each counts as the mean of those known.
            num_before: how many trials had ended before this run; they count so too.
        """
        self._look_at(queued)
        queue_work, num_seen = self._queue_work
        running_work = sum(pack.work for pack in self._running.values())
        num_known = self._num_ended + sum(len(pack.trials) for pack in self._running.values()) + num_seen
        if not num_known:
            total = num_before + len(queued) + num_others
            return Forecast(num_before / total if total else 1.0, None)
        mean = (self._ended_work + running_work + queue_work) / num_known
        of_queue = len(queued) * (queue_work / num_seen if num_seen else mean)
        done = self._done()
        left = max(0.0, self._ended_work + running_work - done) + of_queue + num_others * mean
        all_done = done + num_before * mean
        rate = self._rate()
        return Forecast(all_done / (all_done + left) if all_done + left else 1.0, left / rate if rate > 0 else None)

    def _look_at(self, queued: Sequence[Trial]) -> None:
        """Count the work of the queue, a few packs of it, as large as the largest that runs."""
        if self._unit is None or self._now - self._queue_seen_at < _QUEUE_SECONDS:
            return
        self._queue_seen_at = self._now
        size = max((len(pack.trials) for pack in self._running.values()), default=len(queued)) or 1
        starts = range(0, len(queued), size)
        stride = -(-len(starts) // _MOST_PACKS_OF_QUEUE) or 1
        packs = [queued[start : start + size] for start in starts[::stride]]
        self._queue_work = sum(map(self._work, packs)), sum(map(len, packs))

    def _rate(self) -> float:
        """Work a second in the second half of the run."""
        if len(self._notes) < 2:
            return 0.0
        (begin, before), (now, done) = self._notes[0], self._notes[-1]
        return (done - before) / (now - begin)

    def _done(self) -> float:
        return self._ended_work + sum(map(self._done_of, self._running))

    def _done_of(self, slot: str) -> float:
        return self._running[slot].work_done(self._shares.get(slot, 0.0))

    def _work(self, pack: Sequence[Trial]) -> float:
        assert self._unit is not None
        first, kind = self._unit
        return self._speeds.pack_seconds(pack, kind) / self._speeds.pack_seconds(first, kind)
