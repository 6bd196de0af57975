"""Gradient norms on record: along trainings, before clipping, and how often clipping acted.

Axes: S steps of one training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gradstab.record.segments import read_segment
from gradstab.results.trial_rows import TrialRow

MOST_TRAININGS = 400
PARTS = (0.0, 0.02, 0.1, 0.5, 1.0)  # of a training: its ends, as fractions of the steps
LEVELS = (0.5, 0.9, 0.98)

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class TrainingNorms:
    """The gradients of one training.

    Attributes:
        norm_S: norm of the whole gradient before clipping.
        acted_S: whether clipping changed it.
    """

    norm_S: NDArray[np.float64]
    acted_S: NDArray[np.bool_]


@dataclass(frozen=True)
class NormsOfPart:
    """Norms in one part of training.

    Attributes:
        first, last: its steps, in a training of the most usual length.
        quantiles: of the norms over steps and trainings, at `LEVELS`.
        largest: the largest norm.
    """

    first: int
    last: int
    quantiles: tuple[float, ...]
    largest: float


def read_norms(rows: Sequence[TrialRow]) -> list[TrainingNorms]:
    """The gradients of at most 400 of these trainings, evenly chosen; those without a finite record are left out."""
    chosen = evenly_chosen(rows, MOST_TRAININGS)
    wanted = {row.number for row in chosen}
    found: dict[int, TrainingNorms] = {}
    for path in sorted({row.segment for row in chosen}):
        for record in read_segment(path):
            if record.number not in wanted or record.number in found or record.trajectory is None:
                continue
            norm_S = record.trajectory["grad_norm"]
            if np.isfinite(norm_S).all():
                found[record.number] = TrainingNorms(norm_S.astype(np.float64), record.trajectory["clip_factor"] < 1)
    return [found[number] for number in sorted(found)]


def evenly_chosen(items: Sequence[_Item], most: int) -> list[_Item]:
    """At most so many of the items, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, most).astype(int)]


def along_training(norms: Sequence[TrainingNorms]) -> tuple[NormsOfPart, ...]:
    """Quantiles of the norms in each part of training."""
    steps = int(np.median([len(one.norm_S) for one in norms]))
    parts = []
    for begin, end in pairwise(PARTS):
        first, last = _ends(steps, begin, end)
        if first >= last:
            continue
        pieces = [one.norm_S[slice(*_ends(len(one.norm_S), begin, end))] for one in norms]
        norm_N = np.concatenate(pieces)
        quantiles = tuple(np.quantile(norm_N, LEVELS).tolist())
        parts.append(NormsOfPart(first, last - 1, quantiles, float(norm_N.max())))
    return tuple(parts)


def threshold_acting_on(norms: Sequence[TrainingNorms], share: float) -> float:
    """The threshold that clipping by norm would exceed in this share of all steps."""
    return float(np.quantile(np.concatenate([one.norm_S for one in norms]), 1 - share))


def share_above(norms: Sequence[TrainingNorms], threshold: float) -> float:
    """The share of all steps in which clipping by norm at this threshold would act."""
    return float((np.concatenate([one.norm_S for one in norms]) > threshold).mean())


def _ends(steps: int, begin: float, end: float) -> tuple[int, int]:
    return round(begin * steps), max(round(begin * steps) + (begin == 0), round(end * steps))
