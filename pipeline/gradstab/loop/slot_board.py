"""What every slot does now and how fast it has been: written beside the record while a study runs, for `status`."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradstab.loop.ports import Kind, PackResult, Slot
from gradstab.loop.trial import Trial
from gradstab.system.durable import replace_file

FILE = "slots.json"
STALE_SECONDS = 10.0  # a driver that lives writes more often


@dataclass
class _Seen:
    """One slot: its pack's size (0 where it has none), since when, and what it finished."""

    slot: Slot
    in_flight: int = 0
    since_ms: int = 0
    trials: int = 0
    busy_ms: int = 0
    lost: int = 0


class SlotBoard:
    """Follows packs by slot; costs a few assignments a pack."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def started(self, slot: Slot, pack: Sequence[Trial]) -> None:
        seen = self._seen.setdefault(slot.name, _Seen(slot))
        seen.in_flight, seen.since_ms = len(pack), time.time_ns() // 10**6

    def ended(self, result: PackResult) -> None:
        seen = self._seen.setdefault(result.slot.name, _Seen(result.slot))
        seen.in_flight = 0
        if result.trajectories is None:
            seen.lost += 1
        else:
            seen.trials += len(result.trials)
            seen.busy_ms += result.finished_ms - result.started_ms

    def save(self, folder: Path, present: Sequence[Slot]) -> None:
        """Write the slots that are there now, by node and kind."""
        names = {slot.name for slot in present}
        groups: dict[tuple[str, Kind], list[_Seen]] = {}
        for slot in present:
            groups.setdefault((slot.node, slot.kind), []).append(self._seen.get(slot.name, _Seen(slot)))
        gone = sum(name not in names for name in self._seen)
        content = {
            "time_ms": time.time_ns() // 10**6,
            "gone": gone,
            "groups": [_row(node, kind, seen) for (node, kind), seen in sorted(groups.items())],
        }
        replace_file(folder / FILE, json.dumps(content), durable=False)


def read_board(folder: Path) -> dict[str, Any] | None:
    """What a living driver wrote last; None where none lives, or it wrote nothing that can be read."""
    try:
        content: dict[str, Any] = json.loads((folder / FILE).read_text())
        age = time.time() - content["time_ms"] / 1000
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content if age < STALE_SECONDS else None


def _row(node: str, kind: Kind, group: Sequence[_Seen]) -> dict[str, Any]:
    """One line of `status`: rates are trials a second of slot-time that was spent training."""
    trials, busy_ms = sum(seen.trials for seen in group), sum(seen.busy_ms for seen in group)
    return {
        "node": node or "here",
        "kind": kind,
        "slots": len(group),
        "busy": sum(seen.in_flight > 0 for seen in group),
        "in_flight": sum(seen.in_flight for seen in group),
        "done": trials,
        "trials_per_slot_second": round(1000 * trials / busy_ms, 3) if busy_ms else None,
        "lost": sum(seen.lost for seen in group),
        "oldest_ms": min((seen.since_ms for seen in group if seen.in_flight), default=None),
    }
