"""The init scales that proved stable, read off measured trials: one interval per activation and band of depths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradstab.activations.registry import is_known
from gradstab.theory.critical_scales import BandEdges, band_edges

MOST_SINGLE_DEPTHS = 5
NUM_BANDS = 4


@dataclass(frozen=True)
class IntervalInput:
    """What counts of a measured trial; `margin` > 0 is stable."""

    depth: int
    init_scale: float
    activation: str
    bias_scale: float
    margin: float


@dataclass(frozen=True)
class StableInterval:
    """The interval of init scales that tells stable trials from unstable ones with the fewest mistakes.

    Attributes:
        depth_low, depth_high: least and greatest depth tried in the band.
        lower, upper: its edges, each the geometric middle between the outermost scale inside and the next one tried.
            None where the interval reaches the end of what was tried ("open"), and where there is no interval.
        found: whether there is one; without one, trials at no scale were stable more often than not.
        num_trials, num_stable: trials in the band, and stable ones among them.
        num_inside, num_stable_inside: the same within the interval.
        num_misclassified: unstable trials inside and stable ones outside.
        theory_depth: depth at which theory is given, the median of the trials' depths.
        theory: edges and centre of the predicted band of R there, at the median bias scale.
    """

    activation: str
    depth_low: int
    depth_high: int
    lower: float | None
    upper: float | None
    found: bool
    num_trials: int
    num_stable: int
    num_inside: int
    num_stable_inside: int
    num_misclassified: int
    theory_depth: int
    theory: BandEdges

    @property
    def fraction_stable(self) -> float | None:
        """Fraction of stable trials inside the interval."""
        return self.num_stable_inside / self.num_inside if self.num_inside else None


def stable_intervals(rows: Sequence[IntervalInput], ratio_band: float = 1.0) -> list[StableInterval]:
    """Stable intervals in the order of their activations' names, then of depth; none for no rows.

    A stable trial far off, or an unstable one amidst stable ones, is counted as misclassified rather than moving an
    edge. Of intervals that are equally good the one with the fewest scales is taken. Up to 5 depths stand alone,
    more are put into 4 bands of equal ratio.

    Args:
        rows: measured trials; those whose machine failed left out.
        ratio_band: R0 of the criterion, for theory's band.
    """
    if not rows:
        return []
    band_of = _depth_bands([row.depth for row in rows])
    groups: dict[tuple[str, int], list[IntervalInput]] = {}
    for row in rows:
        groups.setdefault((row.activation, band_of[row.depth]), []).append(row)
    return [_interval(groups[key], ratio_band) for key in sorted(groups)]


def _depth_bands(depths: Sequence[int]) -> dict[int, int]:
    """Depth to the number of its band."""
    distinct = sorted(set(depths))
    if len(distinct) <= MOST_SINGLE_DEPTHS:
        return {depth: band for band, depth in enumerate(distinct)}
    ratio = math.log(distinct[-1] / distinct[0])
    return {d: min(NUM_BANDS - 1, math.floor(NUM_BANDS * math.log(d / distinct[0]) / ratio)) for d in distinct}


def _interval(rows: list[IntervalInput], ratio_band: float) -> StableInterval:
    log_scale = np.log([row.init_scale for row in rows])
    stable = np.array([row.margin > 0 for row in rows])
    level, level_of_row = np.unique(log_scale, return_inverse=True)
    excess = np.bincount(level_of_row, weights=np.where(stable, 1.0, -1.0)).astype(np.float64)
    first, end = _best_segment(excess)
    inside = (level_of_row >= first) & (level_of_row < end)
    depths = sorted(row.depth for row in rows)
    theory_depth = depths[len(depths) // 2]
    bias_scale = sorted(row.bias_scale for row in rows)[len(rows) // 2]
    return StableInterval(
        activation=rows[0].activation,
        depth_low=depths[0],
        depth_high=depths[-1],
        lower=_middle(level, first) if first < end else None,
        upper=_middle(level, end) if first < end else None,
        found=first < end,
        num_trials=len(rows),
        num_stable=int(stable.sum()),
        num_inside=int(inside.sum()),
        num_stable_inside=int((stable & inside).sum()),
        num_misclassified=int((stable != inside).sum()),
        theory_depth=theory_depth,
        theory=_predicted(rows[0].activation, bias_scale, theory_depth, ratio_band),
    )


def _predicted(activation: str, bias_scale: float, depth: int, ratio_band: float) -> BandEdges:
    if not is_known(activation):  # a function of the user, which is imported only where it is trained
        return BandEdges(None, None, None)
    return band_edges(activation, bias_scale, depth, ratio_band)


def _best_segment(excess: NDArray[np.float64]) -> tuple[int, int]:
    """Start and end of the run of levels with the greatest sum, the shortest of the best; empty if none is positive.

    Misclassified trials are fewest where stable less unstable ones inside are most (Kadane's maximum-sum run).
    """
    best_sum, best = 0.0, (0, 0)
    run_sum, start = 0.0, 0
    for index, value in enumerate(excess):
        if run_sum <= 0:
            run_sum, start = 0.0, index
        run_sum += float(value)
        shorter = index + 1 - start < best[1] - best[0]
        if run_sum > best_sum or (run_sum == best_sum > 0 and shorter):
            best_sum, best = run_sum, (start, index + 1)
    return best


def _middle(level: NDArray[np.float64], index: int) -> float | None:
    """Geometric middle between the levels before and at an index; None at the ends of what was tried."""
    if index in {0, len(level)}:
        return None
    return math.exp(0.5 * float(level[index - 1] + level[index]))
