"""What every slot does now and how fast it has been, written to the results folder while a study runs, for `status`."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gradstab.loop.ports import Kind, PackResult, Slot
from gradstab.loop.trial import Trial
from gradstab.system.durable import replace_file

FILE = "slots.json"
STALE_SECONDS = 10.0  # a driver that is alive writes more often


@dataclass(frozen=True)
class Pace:
    """How far a study is: see Progress, which has the same values."""

    share: float
    rate: float
    seconds_left: float | None


@dataclass
class _SlotHistory:
    """One slot: the size of its pack (0 for none), the share of it that is done, and what it has finished or lost."""

    slot: Slot
    in_flight: int = 0
    share: float = 0.0
    since_ms: int = 0
    trials: int = 0
    busy_ms: int = 0
    lost: int = 0


class SlotBoard:
    """Follows which pack each slot trains; costs a few assignments for each pack."""

    def __init__(self) -> None:
        self._histories: dict[str, _SlotHistory] = {}

    def record_start(self, slot: Slot, pack: Sequence[Trial]) -> None:
        history = self._histories.setdefault(slot.name, _SlotHistory(slot))
        history.in_flight, history.share, history.since_ms = len(pack), 0.0, time.time_ns() // 10**6

    def follow(self, shares: Mapping[str, float]) -> None:
        """Take over the shares of running packs that are done, by slot."""
        for name, share in shares.items():
            self._histories[name].share = share

    def record_end(self, result: PackResult) -> None:
        history = self._histories.setdefault(result.slot.name, _SlotHistory(result.slot))
        history.in_flight = 0
        if result.outcomes is None:
            history.lost += 1
        else:
            history.trials += len(result.trials)
            history.busy_ms += result.finished_ms - result.started_ms

    def save(self, folder: Path, present: Sequence[Slot], pace: Pace | None = None) -> None:
        """Write how far the study is and what the slots that are present do, by node and kind."""
        names = {slot.name for slot in present}
        groups: dict[tuple[str, Kind], list[_SlotHistory]] = {}
        for slot in present:
            groups.setdefault((slot.node, slot.kind), []).append(self._histories.get(slot.name, _SlotHistory(slot)))
        gone = sum(name not in names for name in self._histories)
        content = {
            "time_ms": time.time_ns() // 10**6,
            "gone": gone,
            "pace": None if pace is None else asdict(pace),
            "groups": [_row(node, kind, group) for (node, kind), group in sorted(groups.items())],
        }
        replace_file(folder / FILE, json.dumps(content), durable=False)


def read_board(folder: Path) -> dict[str, Any] | None:
    """What the driver wrote last; None where no driver is alive, or the file cannot be read."""
    try:
        content: dict[str, Any] = json.loads((folder / FILE).read_text())
        age = time.time() - content["time_ms"] / 1000
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content if age < STALE_SECONDS else None


def _row(node: str, kind: Kind, group: Sequence[_SlotHistory]) -> dict[str, Any]:
    """One line of `status`. The rate is in trials a second for one slot, counting the time that it trained."""
    trials, busy_ms = sum(history.trials for history in group), sum(history.busy_ms for history in group)
    return {
        "node": node or "here",
        "kind": kind,
        "slots": len(group),
        "busy": sum(history.in_flight > 0 for history in group),
        "in_flight": sum(history.in_flight for history in group),
        "underway": round(sum(history.in_flight * history.share for history in group), 2),
        "done": trials,
        "trials_per_slot_second": round(1000 * trials / busy_ms, 3) if busy_ms else None,
        "lost": sum(history.lost for history in group),
        "oldest_ms": min((history.since_ms for history in group if history.in_flight), default=None),
    }
