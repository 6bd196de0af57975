"""What the probe found, in words: the headline, the headroom of narrow types, and the whole as text. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradstab.probing.profiles import Series, relative
from gradstab.record.trajectory import FloatArray

_SINGULAR = {
    "layers": "layer", "blocks": "block", "block inputs": "block", "time steps": "step", "calls": "call", "taps": "tap",
}  # fmt: skip
_NOUNS = {"layers": "hidden layers"}
_MOST_ROWS = 24  # of a series, before its middle is left out


@dataclass(frozen=True)
class NarrowType:
    """A floating-point type: log10 of its least subnormal and of its largest number."""

    name: str
    least: float
    largest: float


FLOAT16 = NarrowType("float16", math.log10(2.0**-24), math.log10(65504.0))
BFLOAT16 = NarrowType("bfloat16", math.log10(2.0**-133), math.log10(3.3895313892515355e38))


def headline(series: Series) -> str:
    """The verdict in a line; over time steps the rate leads, because where the ends lie is a convention."""
    noun = _NOUNS.get(series.axis, series.axis)
    ratio = f"R = {series.gradient_ratio:+.2f} decades over {len(series.taps)} {noun}"
    if series.interval is not None:
        ratio += f" (95 %: {series.interval[0]:+.2f} to {series.interval[1]:+.2f})"
    factor = "" if series.rate is None else f"factor {math.exp(series.rate):.3g} a {_SINGULAR.get(series.axis, 'tap')}"
    if series.flag:
        ratio += f" ({series.flag})"
    parts = [factor, ratio] if series.axis == "time steps" else [ratio, factor]
    verdict = series.verdict or "no verdict, because the taps pass a part of the gradient"
    return f"{verdict}: {', '.join(part for part in parts if part)}"


def headroom(series: Series) -> str:
    """At how many positions the gradient of the mean loss leaves the range of float16 and of bfloat16."""
    peak_L = series.log10_delta_max_L[np.isfinite(series.log10_delta_max_L)]
    noun = _NOUNS.get(series.axis, series.axis)
    if not len(peak_L):
        return f"the gradient is a finite number above zero at none of {len(series.taps)} {noun}"
    lost = {kind.name: _num_lost(peak_L, kind) for kind in (FLOAT16, BFLOAT16)}
    if not any(lost.values()):
        return f"float16 and bfloat16 hold the gradient at all {len(series.taps)} {noun}, without loss scaling"
    told = ", ".join(f"{name} loses it at {number}" for name, number in lost.items() if number)
    sentence = f"without loss scaling, {told} of {len(series.taps)} {noun}"
    spread = float(peak_L.max() - peak_L.min())
    if lost["float16"] and spread < FLOAT16.largest - FLOAT16.least - 1:
        power = math.floor((FLOAT16.largest - 1 - float(peak_L.max())) / math.log10(2))
        return f"{sentence}; with a loss scale of 2^{power} float16 would hold it everywhere"
    return sentence


def _num_lost(peak_L: FloatArray, kind: NarrowType) -> int:
    return int(np.sum(peak_L < kind.least) + np.sum(peak_L > kind.largest))


def text(
    series: Sequence[Series], kinds: Sequence[Series], untapped: Sequence[tuple[str, str]], notes: Sequence[str]
) -> str:
    """The whole result as lines of plain text."""
    lines = [headline(series[0])]
    lines += [f"  {note}" for note in (*filter(None, [series[0].remark]), *notes)]
    for one in series:
        if one is not series[0]:
            lines += ["", f"{one.name}: {headline(one)}", *(f"  {note}" for note in [one.remark] if note)]
        lines += ["", *_table(one)]
    if kinds:
        lines += ["", *_kinds(kinds)]
    if untapped:
        lines += ["", "not read:", *(f"  {name}: {reason}" for name, reason in untapped)]
    return "\n".join(lines)


def _table(series: Series) -> list[str]:
    width = max(len("position"), *(len(tap) for tap in series.taps))
    above_L = relative(series.log10_delta_norm_L)
    activated = not np.isnan(series.dead_L).all()
    rows = [
        f"  {tap:{width}}  {series.log10_delta_norm_L[place]:+8.2f}  {above_L[place]:+8.2f}"
        f"{_fractions(series, place) if activated else ''}{'' if series.whole[place] else '  a part of the gradient'}"
        for place, tap in enumerate(series.taps)
    ]
    if len(rows) > _MOST_ROWS:
        half = _MOST_ROWS // 2
        rows = [*rows[:half], f"  ... {len(rows) - 2 * half} more ...", *rows[-half:]]
    heads = f"  {'position':{width}}  log10 |delta|, and relative to the last"
    return [f"{heads}; dead and saturated units" if activated else heads, *rows]


def _fractions(series: Series, place: int) -> str:
    if np.isnan(series.dead_L[place]):
        return " " * 16
    return f"  {100 * series.dead_L[place]:4.0f} %  {100 * series.saturated_L[place]:4.0f} %"


def _kinds(kinds: Sequence[Series]) -> list[str]:
    width = max(len("shown, not judged"), *(len(kind.name) for kind in kinds))
    rows = []
    for kind in kinds:
        ratio = f"{kind.gradient_ratio:+.2f}" if len(kind.taps) > 1 else ""
        first, last = kind.log10_delta_norm_L[0], kind.log10_delta_norm_L[-1]
        numbers = f"{len(kind.taps):5}  {first:+8.2f}  {last:+8.2f}  {ratio:>6}"
        rows.append(f"  {kind.name:{width}}  {numbers}  {kind.remark}")
    return [f"  {'shown, not judged':{width}}  times     first      last   ratio", *rows]
