"""What each kind of slot can do, as its packs show: what sizes packs, and tells a slow pack from a hanging worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from gradstab.loop.packing import CostModel, operations
from gradstab.loop.ports import Kind, PackResult, Slot
from gradstab.loop.trial import Trial
from gradstab.record.failure import FailureKind
from gradstab.study.pack_key import DataShape

OVERDUE_TIMES = 20.0  # what a pack should take, before its worker counts as hanging
OVERDUE_TIMES_UNMEASURED = 200.0
_SHORTEST = 0.05  # seconds of a pack that say something about speed


class Speeds:
    """The cost model of each kind of slot; learns from every pack but a worker's first, which loads torch and data."""

    def __init__(self, shape: DataShape, known: Mapping[Kind, CostModel]) -> None:
        self._shape = shape
        self._warm: set[str] = set()  # slots whose worker has run a pack
        self._too_large: set[int] = set()  # trials whose packs ran out of memory
        self.costs = dict(known)

    def of(self, kind: Kind) -> CostModel:
        """What is known of a kind of slot; the rough model before anything is."""
        return self.costs.get(kind, CostModel())

    def learn(self, result: PackResult) -> None:
        """Take a pack's rate into the model of its slot's kind, or that it was too large."""
        if result.trajectories is None:
            self._warm.discard(result.slot.name)
            self._learn_size(result)
            return
        seconds = (result.finished_ms - result.started_ms) / 1000
        if result.slot.name not in self._warm:
            self._warm.add(result.slot.name)
        elif seconds > _SHORTEST:
            work = sum(operations(trial.recipe, self._shape) for trial in result.trials)
            kind = result.slot.kind
            self.costs[kind] = self.of(kind).updated(result.trials[0].recipe.width, work / seconds)

    def _learn_size(self, result: PackResult) -> None:
        """Make new packs smaller than one that ran out of memory: the parts it is split into say no more than it did,
        since a single trial among them may be what needs too much."""
        numbers = {trial.number for trial in result.trials}
        if (
            result.failure is not None
            and result.failure.kind is FailureKind.OUT_OF_MEMORY
            and not numbers & self._too_large
        ):
            kind = result.slot.kind
            self.costs[kind] = self.of(kind).exhausted([trial.recipe for trial in result.trials], self._shape)
            self._too_large |= numbers

    def seconds_for(self, trials: Sequence[Trial], count: int, slots: Sequence[Slot]) -> float:
        """Seconds that all slots take for `count` trials like these, each doing what it is fast enough for."""
        kinds: Counter[Kind] = Counter([slot.kind for slot in slots] or ["cpu"])
        rate = 0.0
        for kind, number in kinds.items():
            cost = self.of(kind)
            rate += number * len(trials) / sum(cost.seconds(trial.recipe, self._shape) for trial in trials)
        return count / rate

    def patience(self, pack: Sequence[Trial], kind: Kind, least: float, tries: int) -> float:
        """Seconds after which a pack's worker counts as hanging: far beyond what is expected, twice that each try."""
        cost = self.of(kind)
        expected = sum(cost.seconds(trial.recipe, self._shape) for trial in pack)
        times = OVERDUE_TIMES if cost.measured else OVERDUE_TIMES_UNMEASURED
        return max(least, times * expected) * 2.0 ** min(tries, 8)
