"""How fast each kind of slot is, learnt from its packs: decides the size of packs and when one hangs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from gradstab.loop.cost_model import CostModel
from gradstab.loop.ports import Kind, PackResult, Slot
from gradstab.loop.trial import Trial
from gradstab.record.failure import FailureKind
from gradstab.study.pack_key import DataShape

_SHORTEST_SECONDS = 0.05  # a shorter pack says little about speed
_MOST_DISTURBED = 8.0  # a pack that took more of the wall clock than this, by its CPU time, waited for something else


class Speeds:
    """The cost model of each kind of slot.

    It learns from every pack but the first of each worker, which includes loading torch and the data.
    """

    def __init__(self, shape: DataShape, known: Mapping[Kind, CostModel]) -> None:
        self._shape = shape
        self._warm: set[str] = set()  # slots whose worker has run a pack
        self._too_large: set[int] = set()  # trials whose packs ran out of memory
        self.costs = dict(known)

    def of(self, kind: Kind) -> CostModel:
        """The cost model of a kind of slot; a rough one before any pack was measured."""
        return self.costs.get(kind, CostModel())

    def learn(self, result: PackResult) -> None:
        """Update the model of the slot's kind by how fast the pack ran, or by its size where memory ran out."""
        if result.outcomes is None:
            self._warm.discard(result.slot.name)
            self._learn_size(result)
            return
        wall_clock = (result.finished_ms - result.started_ms) / 1000
        seconds = max(result.seconds, wall_clock / _MOST_DISTURBED)
        if result.slot.name not in self._warm:
            self._warm.add(result.slot.name)
        elif seconds > _SHORTEST_SECONDS:
            kind = result.slot.kind
            recipes = [trial.recipe for trial in result.trials]
            self.costs[kind] = self.of(kind).learned(recipes, self._shape, seconds)

    def _learn_size(self, result: PackResult) -> None:
        """Halve the pack size of this kind of slot after a pack ran out of memory.

        Failures of the parts that it is split into are ignored: one oversized trial may be the cause.
        """
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
        """Seconds that all slots together need for `count` trials like these, where each trains as many as it can."""
        kinds: Counter[Kind] = Counter([slot.kind for slot in slots] or ["cpu"])
        rate = 0.0
        for kind, number in kinds.items():
            cost = self.of(kind)
            rate += number * len(trials) / sum(cost.seconds(trial.recipe, self._shape) for trial in trials)
        return count / rate

    def pack_seconds(self, pack: Sequence[Trial], kind: Kind) -> float:
        """Seconds that a pack should take on a slot of this kind that nobody disturbs."""
        return self.of(kind).pack_seconds([trial.recipe for trial in pack], self._shape)
