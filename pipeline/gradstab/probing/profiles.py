"""A series of positions and what its gradients say: R, rate, phase, an interval where they were sampled. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from gradstab.record.trajectory import FloatArray
from gradstab.stability.judgement import layer_rate, phase_of
from gradstab.study.criterion import Phase
from gradstab.study.responses.library.gradient_ratio import gradient_ratio

Verdict = Literal["vanishing", "stable", "exploding", "undecided"]

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Series:
    """Gradients at comparable positions, from the input (or the first time step) to the output.

    Attributes:
        name: the pattern of the names, # for a number.
        axis: what the positions are: layers, blocks, block inputs, time steps or taps.
        taps: the names of the positions.
        log10_delta_norm_L: log10 of the root mean square over samples of the norm of the gradient of a sample's own
            loss by the position.
        log10_delta_max_L: log10 of the largest entry of the gradient of the mean loss.
        dead_L: fraction of units that are zero on every sample, of the activation that takes or returns the position;
            NaN where there is none.
        saturated_L: fraction of (sample, unit) there with |phi'| below 1 % of its maximum.
        whole: for each position, whether every path from the loss to the first position crosses it; where it does
            not, the position passes a part of the gradient only.
        judged: whether R compares whole gradients, so that a phase can be told.
        gradient_ratio: R, decades from the last position to the first, over the positions that are whole if judged.
        interval: 95 % confidence interval of R where it was estimated from random draws or signs, else None.
        rate: lambda, the logarithm of the factor per position toward the input, over the last half; None below four.
        phase: of R under the band; None where the series is not judged.
        verdict: the phase, or "undecided" where the interval of R crosses an edge of the band.
        flag: "underflow" or "overflow" where R is a clamp, else "".
        remark: what a reader must know beside.
    """

    name: str
    axis: str
    taps: tuple[str, ...]
    log10_delta_norm_L: FloatArray
    log10_delta_max_L: FloatArray
    dead_L: FloatArray
    saturated_L: FloatArray
    whole: tuple[bool, ...]
    judged: bool
    gradient_ratio: float
    interval: tuple[float, float] | None
    rate: float | None
    phase: Phase | None
    verdict: Verdict | None
    flag: str
    remark: str


def relative(log10_L: FloatArray) -> FloatArray:
    """Decades above the last position; NaN where either is zero or not finite."""
    above_L: FloatArray = np.full(len(log10_L), np.nan)
    if np.isfinite(log10_L[-1]):
        above_L = np.where(np.isfinite(log10_L), log10_L - log10_L[-1], np.nan)
    return above_L


def series_of(
    name: str,
    axis: str,
    taps: tuple[str, ...],
    norm_NL: FloatArray,
    peak_L: FloatArray,
    dead_L: FloatArray,
    saturated_L: FloatArray,
    *,
    level: float,
    peak_level: float,
    band: float,
    sampled: bool,
    whole: tuple[bool, ...],
    judged: bool,
    remark: str = "",
) -> Series:
    """A series from N readings of its L norms.

    Args:
        name, axis, taps, dead_L, saturated_L, whole, judged, remark: as in Series.
        norm_NL: norm of the summed gradient in each reading; NaN where a position did not run.
        peak_L: largest entry of the gradient.
        level, peak_level: added to the logarithms: from the loss given to the mean of the samples' own losses.
        band: R0 in decades.
        sampled: whether the readings are a random sample, so that R has an interval.
    """
    log10_norm_L = _log10_root_mean_square(norm_NL) + level
    kept = np.array(whole) if judged else np.ones(len(taps), dtype=bool)
    ratio, flag = gradient_ratio(log10_norm_L[kept])
    interval = _jackknife(norm_NL[:, kept]) if sampled and judged and not flag else None
    rate, _ = layer_rate(log10_norm_L[kept], last_half=True)
    phase = phase_of(ratio, band) if judged else None
    crossed = interval is not None and any(interval[0] <= edge <= interval[1] for edge in (-band, band))
    with np.errstate(divide="ignore"):
        log10_max_L = np.log10(peak_L) + peak_level
    return Series(
        name=name,
        axis=axis,
        taps=taps,
        log10_delta_norm_L=log10_norm_L,
        log10_delta_max_L=log10_max_L,
        dead_L=dead_L,
        saturated_L=saturated_L,
        whole=whole,
        judged=judged,
        gradient_ratio=ratio,
        interval=interval,
        rate=rate,
        phase=phase,
        verdict="undecided" if crossed else phase,
        flag=flag,
        remark=remark,
    )


def _log10_root_mean_square(norm_NL: FloatArray) -> FloatArray:
    """Over readings, with the range of the norms and not that of their squares; +inf where one is not finite."""
    ran_NL = ~np.isnan(norm_NL)
    largest_L = np.max(np.where(ran_NL, norm_NL, 0.0), axis=0)
    scale_L = np.where((largest_L > 0) & np.isfinite(largest_L), largest_L, 1.0)
    squares_L = np.sum(np.where(ran_NL, norm_NL / scale_L, 0.0) ** 2, axis=0) / np.sum(ran_NL, axis=0)
    with np.errstate(divide="ignore"):
        log10_L: FloatArray = np.log10(scale_L) + 0.5 * np.log10(squares_L)
    return log10_L


def _jackknife(norm_NL: FloatArray) -> tuple[float, float] | None:
    """The interval of R from leaving one reading out at a time (Efron and Stein 1981); None without two readings."""
    num = len(norm_NL)
    if num < 2:
        return None
    ratios = []
    for left_out in range(num):
        ends = np.delete(norm_NL, left_out, axis=0)[:, [0, -1]]
        if np.isnan(ends).all(axis=0).any():
            continue
        first, last = _log10_root_mean_square(ends)
        ratios.append(float(first - last))
    whole = _log10_root_mean_square(norm_NL[:, [0, -1]])
    centre = float(whole[0] - whole[1])
    if len(ratios) < 2 or not np.isfinite(ratios).all():
        return None
    deviation = np.array(ratios) - np.mean(ratios)
    error = math.sqrt((num - 1) / num * float(deviation @ deviation))
    half = float(stdtrit(num - 1, 0.5 + _CONFIDENCE / 2)) * error
    return centre - half, centre + half
