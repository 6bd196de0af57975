"""When a pack counts as hanging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradstab.loop.ports import Kind
from gradstab.loop.speeds import Speeds
from gradstab.loop.trial import Trial

_HANG_FACTOR = 20.0  # a worker counts as hanging after so many times the seconds that its pack or a step should take
_HANG_FACTOR_UNMEASURED = 200.0
_MOST_DOUBLINGS = 8


@dataclass(frozen=True)
class Patience:
    """How long a pack is waited for.

    Attributes:
        seconds: for its end, or for its first step where its work runs in steps.
        step_seconds: for a step after the first one.
    """

    seconds: float
    step_seconds: float


def patience_with(pack: Sequence[Trial], kind: Kind, speeds: Speeds, least: float, tries: int) -> Patience:
    """The patience with a pack: many times what the cost model expects, doubled at each new try.

    Args:
        least: the shortest patience, before doubling.
        tries: how often the pack's trials have failed so far.
    """
    doubled = 2.0 ** min(tries, _MOST_DOUBLINGS)
    factor = _HANG_FACTOR if speeds.of(kind).measured else _HANG_FACTOR_UNMEASURED
    expected = speeds.pack_seconds(pack, kind)
    steps = 1 + pack[0].recipe.steps  # of one stack: where there are several, there are more steps, and shorter ones
    # a pack that takes very long may have one long step: the first of a stack, in which its weights are drawn
    one_step = max(expected, factor * expected / steps)
    return Patience(max(least, factor * expected) * doubled, max(least, one_step) * doubled)
