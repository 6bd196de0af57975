"""How many trials make a pack: enough that dispatch costs little, within memory and within what a user waits for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradstab.loop.cost_model import CostModel, PackSeconds
from gradstab.loop.packing import PackMemory
from gradstab.study.pack_key import DataShape, pack_key
from gradstab.study.recipe import Recipe

MOST_DISPATCH = 0.1  # of a pack's time: what larger packs could still save
MOST_DISPATCH_AT_THE_END = 0.33  # where smaller packs let the slots finish together
LEAST_SECONDS = 3.0  # that a pack takes if there are enough trials: long against a call to a worker
FIRST_SECONDS = 0.5  # before this machine's speed is known
PATIENCE_SECONDS = 20.0  # that no pack of several trials should exceed
MAX_PACK_TRIALS = 1024


@dataclass(frozen=True)
class PackTime:
    """Seconds that a pack should take: at least `least`, and at most about `most`."""

    least: float = LEAST_SECONDS
    most: float = PATIENCE_SECONDS


FIRST = PackTime(FIRST_SECONDS, 2 * FIRST_SECONDS)
USUAL = PackTime()


def time_of_next_pack(usual: PackTime, seconds_left: float) -> PackTime:
    """The time of the next pack, if all slots together need `seconds_left` for the trials that are left.

    Near the end packs take half of what is left, so that the slots finish together.
    """
    most = max(seconds_left / 2, 0.1 * usual.least)
    return PackTime(min(usual.least, most), min(usual.most, most))


def pack_length(
    recipes: Sequence[Recipe], shape: DataShape, cost: CostModel, time: PackTime, max_bytes: float
) -> tuple[int, bool]:
    """How many of the recipes, taken from the front, make one pack, and whether more recipes would not enlarge it.

    The recipes share one key with the first of them, up to the first that does not. A pack is full when it takes
    `time.least` and dispatch is at most a tenth of that. It ends before that where it would exceed `time.most` or the
    memory; there it may be shorter than efficient, but not so short that dispatch takes a third. It holds one trial
    at least, so that a single training larger than these limits still runs.
    """
    key = pack_key(recipes[0])
    memory, seconds = PackMemory(shape), PackSeconds(cost, shape)
    max_bytes = min(max_bytes, cost.most_bytes)
    for count, recipe in enumerate(recipes[:MAX_PACK_TRIALS]):
        if count > 0 and seconds.total >= time.least and seconds.dispatch <= MOST_DISPATCH * seconds.total:
            return count, True
        efficient = seconds.dispatch <= MOST_DISPATCH_AT_THE_END * seconds.total
        seconds.add(recipe)
        too_long = seconds.total > PATIENCE_SECONDS or (efficient and seconds.total > time.most)
        too_large = memory.add(recipe) > max_bytes
        if count > 0 and (pack_key(recipe) != key or too_long or too_large):
            return count, True
    return min(len(recipes), MAX_PACK_TRIALS), len(recipes) >= MAX_PACK_TRIALS
