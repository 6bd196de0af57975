"""Restores trials that storage lost and the record has, as after the loss of a journal; finds what is left to train."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from gradstab.loop.ports import Proposal, Searcher, SearchState
from gradstab.record.segments import CorruptSegmentError, read_segment, segment_numbers, segment_paths
from gradstab.study.axes import Value


def restore_lost_trials(folder: Path, searcher: Searcher) -> SearchState:
    """Create again in storage the trials that are recorded and that storage has lost; returns the state of storage.

    They come back as running, with their numbers and points; the loop tells their results. A number between them that
    no record names was being trained: it gets the point of its design, or a new proposal of the sampler.
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
            continue  # the loop renames it
    searcher.restore(points, retries)
    return searcher.state()


@dataclass(frozen=True)
class Remaining:
    """The trials of a stored study that are still to be trained, and how many count toward the budget.

    Attributes:
        unrecorded: storage has their result, but their record is gone.
        interrupted: trials that were running when the last run stopped, or that were asked for again.
        asked: the number of trials that count toward the budget; retries do not.
        failed: the number of trials that failed for good and were not asked for again.
    """

    unrecorded: list[Proposal]
    interrupted: list[Proposal]
    asked: int
    failed: int


def find_remaining(searcher: Searcher, recorded: Set[int], budget: int, *, retry_failed: bool) -> Remaining:
    """List the trials still to be trained, after storage was told all recorded results.

    Trials that an earlier run asked for beyond this budget are left for a run with a larger one.

    Args:
        recorded: the numbers of the trials on record.
        retry_failed: whether to ask again for the trials that failed.
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
