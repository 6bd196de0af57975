"""When a pack counts as hanging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradstab.loop.ports import Kind
from gradstab.loop.speeds import Speeds
from gradstab.loop.trial import Trial

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
    many_packs = speeds.patience(pack, kind, 0.0, tries)
    steps = 1 + pack[0].recipe.steps  # of one stack: where there are several, there are more steps, and shorter ones
    # a pack that takes very long may have one long step: the first of a stack, in which its weights are drawn
    one_step = speeds.pack_seconds(pack, kind) * doubled
    return Patience(max(least * doubled, many_packs), max(least * doubled, one_step, many_packs / steps))
