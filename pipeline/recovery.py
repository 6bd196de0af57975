"""Storage made to agree with the record where storage lost more than the record did: a journal gone with its disk."""

from __future__ import annotations

from pathlib import Path

from pipeline.ports import Searcher, SearchState
from pipeline.segments import CorruptSegmentError, read_segment, segment_numbers, segment_paths
from pipeline.space import Value


def restored(folder: Path, searcher: Searcher) -> SearchState:
    """What storage holds, once trials that are on record and that it has lost are created in it again.

    They come back running, under their numbers and with their points; telling them is the loop's. A number between
    them that no record names was in flight: it gets the point of its design, or a new proposal.
    """
    state = searcher.state()
    known = state.told | state.failed | {proposal.number for proposal in state.running}
    if {number for path in segment_paths(folder) for number in segment_numbers(path)} <= known:
        return state
    points: dict[int, dict[str, Value]] = {}
    for path in segment_paths(folder):
        try:
            for record in read_segment(path):
                points.setdefault(record.number, record.point)
        except CorruptSegmentError:
            continue  # the loop sets it aside
    searcher.restore(points)
    return searcher.state()
