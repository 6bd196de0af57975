"""How far the packs of Ray workers are: asked about once a second, by a bounded number of calls a second."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gradstab.execution.ray_cluster import Cluster  # noqa: F401  # sets what Ray reads when it is imported

# isort: split
import ray

_ASK_SECONDS = 0.75  # from the start of a pack, and from one question, to the next: the loop waits half a second a time
_MOST_CALLS = 16.0  # a second, together: a call costs the driver a third of a millisecond


@dataclass(eq=False)
class WatchedPack:
    """What is known of a running pack; times are seconds of the monotonic clock.

    Attributes:
        actor: the worker that runs it.
        number: by which the worker knows the pack.
        share: of its work that was done at the last answer; None before the first step.
        silent_seconds: between its last step and the last answer.
        asked_at: when it was last asked.
        question: the reference that Ray completes with the answer; None where no answer is due.
    """

    actor: Any
    number: int
    asked_at: float
    share: float | None = None
    silent_seconds: float = 0.0
    question: Any = None

    def silence(self) -> float | None:
        """For how many seconds the pack has done no step, as far as it is known; None before its first step.

        A worker that does not answer is as silent as one that does no step. The driver's own pauses do not count,
        because an answer that came meanwhile is read first.
        """
        if self.share is None:
            return None
        waiting = time.monotonic() - self.asked_at if self.question is not None else 0.0
        return max(self.silent_seconds, waiting)


class PackWatch:
    """Asks the workers of running packs how far they are. No call waits for an answer."""

    def __init__(self) -> None:
        self._packs: dict[str, WatchedPack] = {}  # by slot
        self._last_number = 0
        self._calls_due = 0.0
        self._counted_at = time.monotonic()

    def next_number(self) -> int:
        """A number for a pack that is about to be submitted."""
        self._last_number += 1
        return self._last_number

    def add(self, slot: str, actor: Any, number: int) -> WatchedPack:
        """Watch a pack that was just submitted."""
        pack = self._packs[slot] = WatchedPack(actor, number, time.monotonic())
        return pack

    def remove(self, slot: str) -> None:
        """Watch the slot's pack no more; an answer that is due is not read."""
        del self._packs[slot]

    def clear(self) -> None:
        """Watch no pack."""
        self._packs.clear()

    def shares(self) -> Mapping[str, float]:
        """The share of the work that is done of each pack that has done a step, by slot."""
        return {slot: pack.share for slot, pack in self._packs.items() if pack.share is not None}

    def follow(self) -> None:
        """Read the answers that have come, and ask the packs whose last answer is old."""
        self._read()
        now = time.monotonic()
        self._calls_due = min(_MOST_CALLS, self._calls_due + _MOST_CALLS * (now - self._counted_at))
        self._counted_at = now
        old = [pack for pack in self._packs.values() if pack.question is None and now - pack.asked_at > _ASK_SECONDS]
        for pack in sorted(old, key=lambda pack: pack.asked_at)[: int(self._calls_due)]:
            self._calls_due -= 1
            self._ask(pack, None)

    def drain(self, seconds: float) -> None:
        """Ask all packs to end within so many seconds."""
        self._read()
        for pack in self._packs.values():
            self._ask(pack, seconds)

    def _ask(self, pack: WatchedPack, finish_seconds: float | None) -> None:
        pack.asked_at = time.monotonic()
        try:
            pack.question = pack.actor.watch.remote(pack.number, finish_seconds)
        except ray.exceptions.RayError:  # the worker is gone, which its pack itself tells the executor
            pack.question = None

    def _read(self) -> None:
        questions = {pack.question: pack for pack in self._packs.values() if pack.question is not None}
        if not questions:
            return
        answered, _ = ray.wait(list(questions), num_returns=len(questions), timeout=0)
        for question, answer in _answers(answered):
            pack = questions[question]
            pack.question = None
            if answer is not None:
                pack.share, pack.silent_seconds = answer


def _answers(questions: list[Any]) -> Iterator[tuple[Any, tuple[float, float] | None]]:
    """Each question with its answer, or with None where the worker is gone or has not begun the pack."""
    for question in questions:
        try:
            yield question, ray.get(question)
        except ray.exceptions.RayError:
            yield question, None
