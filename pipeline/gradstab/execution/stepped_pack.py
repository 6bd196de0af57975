"""A pack that runs step by step: how far it is, and how it ends early. Both executors run packs through it."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence

from gradstab.loop.ports import Outcome, PackResult, RunsInSteps, Slot, Step, Work
from gradstab.loop.trial import Trial


class SteppedPack:
    """Runs a pack of a work, by one step at each call of `advance`.

    A work that does not run in steps is one long step, and cannot end early.

    Attributes:
        done: the share of the work that is done, from 0 to 1.
        outcomes: of the trials that have ended, by their position in the pack.
    """

    def __init__(self, work: Work, trials: Sequence[Trial], slot: Slot) -> None:
        self._num_trials = len(trials)
        if isinstance(work, RunsInSteps):
            self._steps = work.run_in_steps(trials, slot)
        else:
            self._steps = _one_step(work, trials, slot)
        self._until = 1.0
        self._finish_by: float | None = None  # in seconds of the monotonic clock, like the times below
        self._first: tuple[float, float] | None = None  # time and share of the first step: until then things load
        self._last_step_at = time.monotonic()
        self.done = 0.0
        self.outcomes: dict[int, Outcome] = {}

    @property
    def has_begun(self) -> bool:
        """Whether a step is done; loading torch and data comes before."""
        return self._first is not None

    @property
    def silent_seconds(self) -> float:
        """Seconds since the last step, or since the start."""
        return time.monotonic() - self._last_step_at

    def finish_within(self, seconds: float) -> None:
        """End within so many seconds, at the end of a step; another thread may call this while a step runs."""
        self._finish_by = time.monotonic() + seconds

    def advance(self) -> bool:
        """Do one step, unless the pack must end now; whether there may be another.

        Raises:
            RuntimeError: the work has ended without a trajectory for each trial.
        """
        if self._finish_by is not None and self._is_too_long(self._finish_by):
            self._steps.close()
            return False
        step = next(self._steps, None)
        self._last_step_at = time.monotonic()
        if step is None:
            if len(self.outcomes) != self._num_trials:
                raise RuntimeError(
                    f"the work must return one trajectory a trial, got {len(self.outcomes)} for "
                    f"{self._num_trials} trials"
                )
            return False
        self.done, self._until = step.done, step.until
        self.outcomes.update(step.ended)
        if self._first is None:
            self._first = (self._last_step_at, step.done)
        return True

    def _is_too_long(self, finish_by: float) -> bool:
        """Whether the next trajectories would come after that time, at the speed that was seen so far."""
        now = time.monotonic()
        if self._first is None or now > finish_by:
            return now > finish_by
        began_at, done_before = self._first
        progress = self.done - done_before
        if progress <= 0:
            return False
        return now + (self._until - self.done) * (now - began_at) / progress > finish_by


def result_of(
    trials: Sequence[Trial],
    slot: Slot,
    times_ms: tuple[int, int],
    outcomes: Mapping[int, Outcome],
    busy_seconds: float | None,
) -> PackResult:
    """The result of a pack that ended without a failure; trials that did not end are given back."""
    ended = [index for index in range(len(trials)) if index in outcomes]
    return PackResult(
        tuple(trials[index] for index in ended),
        slot,
        *times_ms,
        outcomes=[outcomes[index] for index in ended],
        busy_seconds=busy_seconds,
        given_back=tuple(trial for index, trial in enumerate(trials) if index not in outcomes),
    )


def _one_step(work: Work, trials: Sequence[Trial], slot: Slot) -> Generator[Step, None, None]:
    yield Step(1.0, ended=dict(enumerate(work.run(trials, slot))))
