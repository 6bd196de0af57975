"""The trials of one pack key that wait for a slot, and which of them train well together."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice

from gradstab.loop.attempts import AttemptLog
from gradstab.loop.trial import Trial
from gradstab.study.module_recipe import ModuleRecipe
from gradstab.study.pack_key import stack_key


class WaitingTrials:
    """Trials of one pack key in the order in which they were asked for.

    Args:
        replicates: the number of trials of a point, which stay together.
    """

    def __init__(self, replicates: int) -> None:
        self._replicates = replicates
        self._trials: deque[Trial] = deque()

    def __len__(self) -> int:
        return len(self._trials)

    def __iter__(self) -> Iterator[Trial]:
        return iter(self._trials)

    def append(self, trial: Trial) -> None:
        """Put a trial at the end."""
        self._trials.append(trial)

    def put_in_front(self, trials: Sequence[Trial]) -> None:
        """Put trials that were in a pack already before all others."""
        self._trials.extendleft(reversed(trials))

    def take(self, trials: Sequence[Trial]) -> list[Trial]:
        """Remove these trials and return them by number."""
        numbers = {trial.number for trial in trials}
        self._trials = deque(trial for trial in self._trials if trial.number not in numbers)
        return sorted(trials, key=lambda trial: trial.number)

    def first(self, count: int) -> list[Trial]:
        """The trials that have waited longest."""
        return list(islice(self._trials, count))

    def like_first(self, attempts: AttemptLog) -> list[Trial]:
        """The trials that form one stack with the first, those of similar depth before others.

        They have failed as often as the first: one that may bring its worker down endangers no trials of other packs.
        """
        first = self._trials[0]
        key, point, tries = stack_key(first.recipe), self._point(first), attempts.attempts(first.number)
        alike = [
            trial
            for trial in self._trials
            if stack_key(trial.recipe) == key and attempts.attempts(trial.number) == tries
        ]
        structure = _structure(first)

        def rank(trial: Trial) -> tuple[bool, bool, float, int]:
            return self._point(trial) != point, _structure(trial) != structure, _distance(first, trial), trial.number

        return sorted(alike, key=rank)

    def whole_points(self, trials: Sequence[Trial], count: int) -> int:
        """The largest number up to `count` of these trials that splits no point; 0 where one point has more."""
        while 0 < count < len(trials) and self._point(trials[count - 1]) == self._point(trials[count]):
            count -= 1
        return count

    def of_first_point(self, trials: Sequence[Trial]) -> Sequence[Trial]:
        """The trials at the front of the list that are replicates of one point."""
        point = self._point(trials[0])
        return trials[: sum(self._point(trial) == point for trial in trials)]

    def _point(self, trial: Trial) -> int:
        return trial.number // self._replicates


def _structure(trial: Trial) -> object:
    """Modules of one structure may be computed at once, in stacks that are the faster the larger they are."""
    return trial.recipe.structure() if isinstance(trial.recipe, ModuleRecipe) else None


def _distance(first: Trial, other: Trial) -> float:
    return abs(math.log(other.recipe.depth / first.recipe.depth))
