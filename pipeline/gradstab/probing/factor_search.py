"""The search for the factor at which a ratio is 0: brackets by doubling, then Brent's method. No torch.

Factors are searched by x = log2(factor), because R of a chain is nearly a straight line over it.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from scipy.optimize import brentq

LARGEST = 32.0  # factor up to which is searched, and by which is divided
CLOSE = 0.05  # decades: so near to 0 counts as 0
FLAT = 0.005  # decades: a ratio that moves less over halving and doubling does not depend on the factor
CLAMPED = 37.0  # decades from which a ratio only tells its sign
_EXACT = 0.005  # decades within which the root and the ends of the band are sought
_MOST_STEPS = 14  # of Brent's method
_FINEST = 1e-5  # of an octave: factors have five digits
_LEAST_RELATIVE = 4 * sys.float_info.epsilon  # tolerance that brentq takes
_ROUGH = 0.02  # of a distance, to which the ends of a band are sought where the ratio is no smooth curve

Found = Literal["zero", "near zero", "least", "none", "no effect"]


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        found: "zero" where the ratio crosses 0; "near zero" where it comes within CLOSE and flattens; "least" where
            it comes no nearer than that, but into the band, and then the factor nearest to 1 that does as well within
            CLOSE; "none" where it stays outside; "no effect" where it does not move.
        factor: of that point, to five digits; None for "none" and "no effect".
        low, high: the ends of the range around it where the ratio is inside the band; None where the search met none.
        slope: change of the ratio per octave of the factor, next to it.
        tried: the ratio at each factor, None where it could not be measured; in order of factors.
    """

    found: Found
    factor: float | None
    low: float | None
    high: float | None
    slope: float | None
    tried: tuple[tuple[float, float | None], ...]


def search_factor(ratio_at: Callable[[float], float | None], band: float) -> Search:
    """The factor nearest to 1, on the way on which |ratio| falls, at which the ratio is 0; and where it is in the band.

    Args:
        ratio_at: decades at a factor; None where it cannot be measured. At 1 it can.
        band: of the ratio, decades.
    """
    curve = _Curve(ratio_at)
    found, at = _nearest_zero(curve)
    if at is None and found != "no effect":
        least = min(abs(ratio) for _, ratio in curve.known())
        alike = [x for x, ratio in curve.known() if abs(ratio) <= least + CLOSE and abs(ratio) < band]
        found, at = ("least", min(alike, key=abs)) if least < band else ("none", None)
    if at is None:
        return Search(found, None, None, None, None, curve.tried())
    slope = curve.slope(at)
    low, high = (curve.edge(at, way, band) for way in (-1, 1))
    return Search(
        found,
        _factor(at),
        None if low is None else _factor(low),
        None if high is None else _factor(high),
        slope,
        curve.tried(),
    )


def _nearest_zero(curve: _Curve) -> tuple[Found, float | None]:
    """What there is nearest to x = 0, and where; (none, None) where no zero was met."""
    here = curve.at(0.0)
    assert here is not None
    if abs(here) <= CLOSE:
        return "zero", 0.0
    sides = {way: curve.at(float(way)) for way in (-1, 1)}
    moves = [math.inf if ratio is None else abs(ratio - here) for ratio in sides.values()]
    if max(moves) < FLAT and abs(here) < CLAMPED:
        return "no effect", None
    # where neither side tells, larger weights against a gradient that vanishes
    likely = 1 if here < 0 else -1
    ways = sorted(sides, key=lambda way: ((sides[way] or here) * here > 0, _distance(sides[way]), way != likely))
    for way in ways:
        met = _outward(curve, way)
        if met is not None:
            return met
    return _between_octaves(curve)


def _between_octaves(curve: _Curve) -> tuple[Found, float | None]:
    """A zero near the least ratio, which a ratio that rises and falls again may have between whole octaves."""
    for step in (0.5, 0.25) if len(curve.known()) > 2 else ():
        least = min(curve.known(), key=lambda point: abs(point[1]))[0]
        for place in (least - step, least + step):
            if abs(place) <= math.log2(LARGEST):
                curve.at(place)
    known = curve.known()
    for (one, ratio), (other, beyond) in itertools.pairwise(known):
        if abs(other - one) < 1 and ratio * beyond < 0 and (met := _zero_or_jump(curve, one, other)):
            return met
    return "none", None


def _outward(curve: _Curve, way: int) -> tuple[Found, float] | None:
    """The first zero on the way outward, in octaves."""
    before, ratio_before = 0.0, curve.at(0.0)
    assert ratio_before is not None
    for place in _outside(0.0, way):
        ratio = curve.at(place)
        if ratio is None:
            return None
        if ratio * ratio_before < 0 and abs(ratio) > CLOSE:
            return _zero_or_jump(curve, before, place)
        if abs(ratio) <= CLOSE:
            beyond = curve.at(place + way) if abs(place + way) <= math.log2(LARGEST) else None
            if beyond is not None and beyond * ratio_before < 0 and abs(beyond) > CLOSE:
                return _zero_or_jump(curve, before, place + way)
            side = math.copysign(0.8 * CLOSE, ratio_before)  # inside of what counts as 0
            return "near zero", curve.solve(side, before, place, exact=0.15 * CLOSE)
        before, ratio_before = place, ratio
    return None


def _zero_or_jump(curve: _Curve, one: float, other: float) -> tuple[Found, float] | None:
    at = curve.solve(0.0, one, other)
    return ("zero", at) if _distance(curve.at(at)) <= CLOSE else None


class _Curve:
    """The ratio over x, measured once at each x."""

    def __init__(self, ratio_at: Callable[[float], float | None]) -> None:
        self._ratio_at = ratio_at
        self._known: dict[float, float | None] = {}

    def at(self, x: float) -> float | None:
        factor = _factor(x)
        if factor not in self._known:
            self._known[factor] = self._ratio_at(factor)
        return self._known[factor]

    def known(self) -> list[tuple[float, float]]:
        """Where it was measured, from small to large."""
        return [(math.log2(factor), ratio) for factor, ratio in self.tried() if ratio is not None]

    def tried(self) -> tuple[tuple[float, float | None], ...]:
        return tuple(sorted(self._known.items()))

    def solve(self, level: float, one: float, other: float, exact: float = _EXACT, share: float = 0.0) -> float:
        """Where the ratio has a level between two places on two sides of it, by Brent's method.

        Args:
            exact: decades from the level that will do.
            share: of the distance to the first place that will do, where the ratio is rough.
        """

        def above(distance: float) -> float:
            ratio = self.at(one + distance)
            return math.nan if ratio is None else 0.0 if abs(ratio - level) <= exact else ratio - level

        with suppress(ValueError):  # a place where the ratio cannot be measured
            nearness = max(share, _LEAST_RELATIVE)
            brentq(above, 0.0, other - one, xtol=_FINEST, rtol=nearness, maxiter=_MOST_STEPS, disp=False)
        least, most = sorted((one, other))
        between = [(x, ratio) for x, ratio in self.known() if least - _FINEST <= x <= most + _FINEST]
        return min(between, key=lambda point: abs(point[1] - level))[0]

    def edge(self, at: float, way: int, band: float) -> float | None:
        """Where |ratio| reaches the band on the way outward from a place inside it; None where it was not met."""
        ratio = self.at(at)
        if ratio is None or abs(ratio) >= band:
            return None
        beyond = [x for x, _ in self.known() if (x - at) * way > 0]
        inside = at
        for x in (*sorted(beyond, key=lambda x: abs(x - at)), *_outside(at, way, beyond)):
            found = self.at(x)
            if found is None:
                return None
            if abs(found) >= band:
                return self.solve(math.copysign(band, found), inside, x, share=_ROUGH)
            inside = x
        return None

    def slope(self, at: float) -> float | None:
        """Per octave, from the nearest other place that was measured."""
        others = [(x, ratio) for x, ratio in self.known() if abs(x - at) > 0.02]
        ratio = self.at(at)
        if not others or ratio is None:
            return None
        x, other = min(others, key=lambda point: abs(point[0] - at))
        return (other - ratio) / (x - at)


def _outside(at: float, way: int, beyond: list[float] | None = None) -> list[float]:
    """Whole octaves from a place outward that lie beyond all that was measured there, as far as is searched."""
    last = max([at * way, *(x * way for x in beyond or [])])
    end = round(math.log2(LARGEST))
    return [float(way * octave) for octave in range(math.floor(last) + 1, end + 1)]


def _distance(ratio: float | None) -> float:
    return math.inf if ratio is None else abs(ratio)


def _factor(x: float) -> float:
    """To five digits: what is printed is what was measured."""
    return float(f"{2.0**x:.5g}")
