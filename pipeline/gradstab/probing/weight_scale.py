"""`gradstab.find_weight_scale`: the factor on a network's weights at which its gradients neither vanish nor explode."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gradstab.errors import UsageError
from gradstab.probing.copies import bare_module, private_copy, refuse_unready
from gradstab.probing.factor_search import Found, search_factor
from gradstab.probing.measurement import Measured, measure
from gradstab.probing.precision import OWN
from gradstab.probing.profiles import Series
from gradstab.probing.refusals import refuse
from gradstab.probing.scale_wording import answer, text
from gradstab.probing.scaled_weights import weights_to_scale
from gradstab.study.criterion import Criterion

_FARTHEST = 5.0  # octaves, the reach of the search


@dataclass(frozen=True)
class WeightScale:
    """The factor on a network's weights that brings R to 0, as it was measured.

    `gradstab.scale_(model, found.factor, found.names)` applies it.

    Attributes:
        found: "zero" where R crosses 0; "near zero" where it comes within 0.05 decades and flattens, as in a residual
            network whose branches fade; "least" where it comes no nearer, but into the band; "none" where every factor
            leaves it outside the band; "no effect" where R does not depend on the factor.
        factor: the factor, to five digits; None for "none" and "no effect".
        names: modules whose weights of two and more dimensions it multiplies, as `gradstab.scale_` takes them.
        low, high: ends of the range of factors around it with |R| below the band; None where the search, which goes
            from 1/32 to 32, met no end.
        interval: 95 % interval of the factor, where R is an estimate from draws or signs and crosses 0; else None.
        ratio_before, ratio: R in decades at the factor 1, and at the factor found (or at 1 where there is none).
        ratio_band: R0 in decades.
        tried: R at each factor that was measured, None where it could not be; in order of factors.
        notes: what the reader must know, a sentence each.
    """

    found: Found
    factor: float | None
    names: tuple[str, ...]
    low: float | None
    high: float | None
    interval: tuple[float, float] | None
    ratio_before: float
    ratio: float
    ratio_band: float
    tried: tuple[tuple[float, float | None], ...]
    notes: tuple[str, ...]

    @property
    def stands(self) -> bool:
        """Whether R lies within the band without any factor."""
        return abs(self.ratio_before) <= self.ratio_band

    def answer(self) -> str:
        """What to do, in a line."""
        return answer(self)

    def __str__(self) -> str:
        return text(self)


def find_weight_scale(
    module: nn.Module,
    inputs: Any,
    targets: Any,
    loss: Callable[[Any, Any], Any],
    *,
    taps: str | Sequence[str] = (),
    scaled: str | Sequence[str] = (),
) -> WeightScale:
    """Measure by which factor to multiply a network's weights so that gradients neither vanish nor explode: R = 0.

    R is probed on a copy, at about 14 factors from 1/32 to 32. Module, gradients, buffers and all random generators
    stay as they were.

    Args:
        module, inputs, targets, loss, taps: as `gradstab.probe` takes them.
        scaled: patterns of modules whose weights of two and more dimensions the factor multiplies, as "blocks.*".
            Those between which R is measured if left out, which are those that `weight_scale` of a study multiplies.

    Raises:
        UsageError: it cannot be measured; one sentence says why and what to do.
    """
    refuse_unready(module)
    inner = bare_module(module)
    own = private_copy(inner, OWN)
    tapped, patterns = _names(taps, "taps"), _names(scaled, "scaled")
    band = Criterion().ratio_band
    first = measure(own, inputs, targets, loss, tapped, band)
    headline = first.series[0]
    if not headline.judged:
        refuse("a factor needs an R to look at, but these taps pass a part of the gradient only: name other taps")
    owners = [] if patterns else _owners(own, headline)
    chosen = weights_to_scale(own, owners, patterns)
    if not chosen:
        refuse(
            f"a factor needs weights of two or more dimensions, but {', '.join((patterns or owners)[:4])} hold none: "
            "name modules that do as scaled='blocks.*'"
        )
    before = {name: weight.detach().clone() for name, weight in chosen.items()}
    readings: dict[float, Series] = {1.0: headline}

    def ratio_at(factor: float) -> float | None:
        if factor not in readings:
            with torch.no_grad():
                for name, weight in chosen.items():
                    weight.copy_(before[name]).mul_(factor)
            try:
                series = measure(own, inputs, targets, loss, tapped, band).series[0]
            except UsageError:  # at 1 it could be measured: numbers left their range, or all units died
                return None
            if series.taps != headline.taps:
                return None
            readings[factor] = series
        return readings[factor].gradient_ratio

    result = search_factor(ratio_at, band)
    reached = readings[result.factor or 1.0]
    return WeightScale(
        found=result.found,
        factor=result.factor,
        names=tuple(patterns or _patterns(own, owners, chosen)),
        low=result.low,
        high=result.high,
        interval=_interval(reached, result.factor, result.slope) if result.found == "zero" else None,
        ratio_before=headline.gradient_ratio,
        ratio=reached.gradient_ratio,
        ratio_band=band,
        tried=result.tried,
        notes=tuple(_notes(first, weights_to_scale(inner, owners, patterns))),
    )


def _names(given: str | Sequence[str], what: str) -> list[str]:
    """Patterns as a list."""
    names = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    if not all(isinstance(name, str) for name in names):
        refuse(f"{what} must be names of modules, as 'blocks.*', got {given!r}")
    return names


def _owners(module: nn.Module, series: Series) -> list[str]:
    """The modules and bare parameters behind the positions; a network that is itself a recurrent layer is all of it."""
    known = {name for name, _ in (*module.named_modules(), *module.named_parameters())}
    names = dict.fromkeys(tap.split(" step ")[0] for tap in series.taps)
    return [name if name in known else "" for name in names]


def _patterns(own: nn.Module, owners: Sequence[str], chosen: dict[str, nn.Parameter]) -> list[str]:
    """Patterns for `scale_` that choose these weights: "blocks.*" where it chooses nothing else, else every name."""
    if "" in owners:
        return ["**"]
    short = list(dict.fromkeys(_starred(owner) for owner in owners))
    return short if weights_to_scale(own, (), short).keys() == chosen.keys() else list(owners)


def _starred(name: str) -> str:
    return ".".join("*" if part.isdecimal() else part for part in name.split("."))


def _interval(series: Series, factor: float | None, slope: float | None) -> tuple[float, float] | None:
    """The factors at which the interval of R would reach 0, by the slope of R; None where that lies far off."""
    if series.interval is None or factor is None or not slope:
        return None
    octaves = sorted(-end / slope for end in series.interval)
    if max(map(abs, octaves)) > _FARTHEST:
        return None
    low, high = (factor * 2.0**octave for octave in octaves)
    return low, high


def _notes(first: Measured, chosen: Mapping[str, nn.Parameter]) -> list[str]:
    notes = list(first.notes)
    if frozen := [name for name, weight in chosen.items() if not weight.requires_grad]:
        more = f" and {len(frozen) - 4} more" if len(frozen) > 4 else ""
        notes.append(f"the factor also multiplies weights that are not trained: {', '.join(frozen[:4])}{more}")
    if len(first.series) > 1:
        others = ", ".join(one.name for one in first.series[1:])
        notes.append(f"R is that of {first.series[0].name} alone: for {others} give taps")
    return notes
