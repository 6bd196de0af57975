"""What `find_weight_scale` found, in words. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradstab.display.numbers import value_text
from gradstab.probing.factor_search import CLOSE, LARGEST

if TYPE_CHECKING:
    from gradstab.probing.weight_scale import WeightScale

_MOST_NAMES = 4
_SEARCHED = f"from 1/{LARGEST:g} to {LARGEST:g}"


def text(scale: WeightScale) -> str:
    """The whole result as lines of plain text."""
    lines = [answer(scale)]
    if scale.factor is not None:
        lines.append(f"|R| is below {scale.ratio_band:g} for {_range(scale.low, scale.high)}")
        if scale.interval is not None:
            low, high = map(value_text, scale.interval)
            lines.append(f"R is an estimate, and so is the factor: {low} to {high} (95 %)")
        if scale.factor != 1.0:
            lines.append(f"in Python: gradstab.scale_(model, {scale.factor:g}, {list(scale.names)})")
    return "\n  ".join([*lines, *scale.notes])


def answer(scale: WeightScale) -> str:
    """What to do, in a line."""
    names = _few(scale.names)
    before = f"{scale.ratio_before:+.2f}"
    if scale.found == "no effect":
        return (
            f"a factor on the weights of {names} changes nothing: R is {before} decades at 1/2, 1 and 2, as where a "
            "normalisation follows each of them, or spectral normalisation sets their size"
        )
    if scale.factor is None:
        measured = [(factor, ratio) for factor, ratio in scale.tried if ratio is not None]
        nearest, ratio = min(measured, key=lambda point: abs(point[1]))
        at = "with none" if nearest == 1.0 else f"at {value_text(nearest)}"
        return (
            f"no factor {_SEARCHED} on the weights of {names} brings R within {scale.ratio_band:g} of 0: it is nearest "
            f"{at}, {ratio:+.2f} decades"
        )
    if scale.factor == 1.0:
        least = f", and no factor brings it {CLOSE:g} nearer to 0" if scale.found == "least" else ""
        return f"nothing to scale: R is {before} decades with the weights of {names} as they are{least}"
    after = "0.00" if abs(scale.ratio) < 0.005 else f"{scale.ratio:+.2f}"
    beyond = {"near zero": ", and nearer to 0 beyond", "least": ", which is the nearest to 0"}.get(scale.found, "")
    told = f"multiply the weights of {names} by {scale.factor:g}: R goes from {before} to {after} decades{beyond}"
    return (
        f"nothing must be scaled, because |R| is below {scale.ratio_band:g}; for less, {told}" if scale.stands else told
    )


def _range(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return f"all factors {_SEARCHED}"
    if low is None or high is None:
        return f"factors up to {value_text(high)}" if low is None else f"factors from {value_text(low)} on"
    return f"factors from {value_text(low)} to {value_text(high)}"


def _few(names: Sequence[str]) -> str:
    if list(names) == ["**"]:
        return "the module"
    return ", ".join(names) if len(names) <= _MOST_NAMES else f"{names[0]}, {names[1]} ... {names[-1]}"
