"""Storage made to agree with the record where storage lost more than the record did: a journal gone with its disk."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from gradstab.loop.ports import Proposal, Searcher, SearchState
from gradstab.record.segments import CorruptSegmentError, read_segment, segment_numbers, segment_paths
from gradstab.study.space import Value


def restore_lost_trials(folder: Path, searcher: Searcher) -> SearchState:
    """What storage holds, once trials that are on record and that it has lost are created in it again.

    They come back running, under their numbers and with their points; telling them is the loop's. A number between
    them that no record names was in flight: it gets the point of its design, or a new proposal.
    """
    state = searcher.state()
    known = state.told | state.failed | {proposal.number for proposal in state.running}
    if {number for path in segment_paths(folder) for number in segment_numbers(path)} <= known:
        return state
    points: dict[int, dict[str, Value]] = {}
    retries: dict[int, int] = {}
    for path in segment_paths(folder):
        try:
            for record in read_segment(path):
                points.setdefault(record.number, record.point)
                retries.update({} if record.retry_of is None else {record.number: record.retry_of})
        except CorruptSegmentError:
            continue  # the loop sets it aside
    searcher.restore(points, retries)
    return searcher.state()


@dataclass(frozen=True)
class Remaining:
    """What a stored study still has to train, and how it counts.

    Attributes:
        unrecorded: told, but their record is gone.
        interrupted: in flight when the last run stopped, or asked for again.
        asked: trials that count toward the budget; retries do not.
        failed: trials that failed for good and were not asked for again.
    """

    unrecorded: list[Proposal]
    interrupted: list[Proposal]
    asked: int
    failed: int


def find_remaining(searcher: Searcher, recorded: Set[int], budget: int, *, retry_failed: bool) -> Remaining:
    """What is to be done of what storage holds, once it has been told all that is on record.

    What an earlier run asked for beyond the budget waits for a larger one.
    """
    state = searcher.state()
    if retry_failed:
        searcher.ask_again(sorted(state.failed - set(state.retries.values())))
        state = searcher.state()
    ordinary = sorted({*state.told, *state.failed, *(p.number for p in state.running)} - state.retries.keys())
    wanted = {*ordinary[:budget], *state.retries}
    return Remaining(
        [searcher.proposal(number) for number in sorted(state.told - recorded) if number in wanted],
        [proposal for proposal in state.running if proposal.number not in recorded and proposal.number in wanted],
        len(ordinary[:budget]),
        len(state.failed - set(state.retries.values())),
    )
