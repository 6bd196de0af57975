"""Readings of every position over random draws; a position that did not run in a draw has no entry there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from gradstab.probing.activated import Activated
from gradstab.probing.events import Event, Role
from gradstab.probing.gradients import Edges, FloatArray, Reading
from gradstab.probing.series import Run

Key = tuple[str, Role, int]  # name, role, how often the module had run before


def keyed(events: Iterable[Event]) -> dict[Key, Event]:
    """Events by what is the same from draw to draw."""
    counts: dict[tuple[str, Role], int] = {}
    found: dict[Key, Event] = {}
    for event in events:
        place = (event.name, event.role)
        found[*place, counts.get(place, 0)] = event
        counts[place] = counts.get(place, 0) + 1
    return found


class Members:
    """How to find the positions of a run in every draw, also those that a random skip left out of the first one.

    It keeps no part of the first draw's graph.

    Attributes:
        axis, judged, remark: as in Run.
    """

    def __init__(self, run: Run, events: Sequence[Event]) -> None:
        self.axis, self.judged, self.remark = run.axis, run.judged, run.remark
        self._joint = run.joint
        self._seen = {(event.name, event.role) for event in events}
        self._alike = {(event.role, event.kind, event.pattern) for event in run.events}
        whole = {id(event): is_whole for event, is_whole in zip(run.events, run.whole, strict=True)}
        self._whole = {key: whole[id(event)] for key, event in keyed(events).items() if id(event) in whole}

    def of(self, events: Iterable[Event]) -> dict[Key, Event]:
        """Those of one draw, in order."""
        return {key: event for key, event in keyed(events).items() if key in self._whole or self._new(event)}

    def edges(self, event: Event) -> Edges:
        """Where an event's gradient is read."""
        return event.edges if self._joint or event.role == "state" else event.edges[:1]

    def whole(self, key: Key) -> bool:
        """Whether the position passes the whole gradient, as the first draw told."""
        return self._whole.get(key, True)

    def _new(self, event: Event) -> bool:
        alike = (event.role, event.kind, event.pattern) in self._alike
        return alike and (event.name, event.role) not in self._seen


class Table:
    """Norms, largest entries, and what activations did, by position and draw."""

    def __init__(self) -> None:
        self._activated: dict[Key, list[Activated]] = {}
        self._norms: dict[Key, dict[int, FloatArray]] = {}
        self._peaks: dict[Key, list[float]] = {}
        self._draws = 0

    def add(self, keys: Sequence[Key], reading: Reading, activated: Mapping[Key, Activated]) -> None:
        """Add what one draw gave."""
        for key, one in activated.items():
            self._activated.setdefault(key, []).append(one)
        for index, key in enumerate(keys):
            self._norms.setdefault(key, {})[self._draws] = reading.norm_KP[:, index]
            self._peaks.setdefault(key, []).append(float(reading.peak_P[index]))
        self._draws += 1

    def norms(self, keys: Sequence[Key]) -> FloatArray:
        """One row a draw where there are several, else one row a pass; NaN where a position did not run."""
        if self._draws == 1:
            return np.array([self._norms[key][0] for key in keys]).T
        rows = [[_root_mean_square(self._norms[key].get(draw)) for key in keys] for draw in range(self._draws)]
        return np.array(rows)

    def peaks(self, keys: Sequence[Key]) -> FloatArray:
        """The largest entry of the gradient, averaged over draws."""
        return np.array([float(np.mean(self._peaks[key])) for key in keys])

    def activated(self, keys: Sequence[Key]) -> tuple[FloatArray, FloatArray]:
        """Dead and saturated fractions, averaged over draws; NaN where no activation takes or returns the position."""
        found = [self._activated.get(key, []) for key in keys]
        dead = [np.mean([one.dead for one in draws]) if draws else math.nan for draws in found]
        saturated = [np.mean([one.saturated for one in draws]) if draws else math.nan for draws in found]
        return np.array(dead), np.array(saturated)


def merged(order: list[Key], keys: Iterable[Key]) -> list[Key]:
    """The order with new keys put behind the one that they followed."""
    order = [*order]
    before = -1
    for key in keys:
        if key not in order:
            order.insert(before + 1, key)
        before = order.index(key)
    return order


def _root_mean_square(norm_K: FloatArray | None) -> float:
    if norm_K is None:
        return math.nan
    largest = float(norm_K.max())
    return largest * math.sqrt(float(np.mean((norm_K / largest) ** 2))) if 0 < largest < math.inf else largest
