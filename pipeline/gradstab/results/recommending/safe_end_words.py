"""The largest safe value of an axis in words: the value, its interval, gaps, and how it moves with other axes."""

from __future__ import annotations

import math
from collections.abc import Collection

from gradstab.display.numbers import counted, name_text, percent_text, point_text, value_text, worded_value_text
from gradstab.results.span_words import best_phrase, span_phrase
from gradstab.stability.region import SAFE
from gradstab.stability.safe_end import SafeEnd
from gradstab.stability.safe_end_moves import Move, Slope
from gradstab.study.axes import AnyAxis, Choice
from gradstab.study.recipe import idle


def end_sentences(end: SafeEnd, num_trials: int, given: Collection[str]) -> list[str]:
    """The largest safe value at a place; gaps are said.

    Args:
        given: the axes whose values were asked for; the others have the safest.
    """
    name = name_text(end.axis)
    shown = {other: value for other, value in end.held.items() if not idle(other, end.held)}
    asked = point_text({other: value for other, value in shown.items() if other in given})
    chosen = point_text({other: value for other, value in shown.items() if other not in given})
    where = f" at {asked}" if asked else ""
    if chosen:
        where += f" ({chosen}, where it is safest)" if asked else f" at {chosen}, where it is safest"
    if end.value is None:
        return [f"No {name} is safe{where}: {best_phrase(end.best, end.p_best)}."]
    told = f"Largest safe {name}{where}: {value_text(end.value)}"
    if end.high_open:
        told += ", the largest that was searched"
    told += f" ({interval_words(end)}, from {counted(num_trials, 'trial')})."
    sentences = [told]
    if end.others:
        spans = " and ".join(map(span_phrase, end.others))
        sentences.append(f"It is safe again {spans}, but not between.")
    return sentences


def interval_words(end: SafeEnd) -> str:
    """`90 % interval 0.10 to 0.15`, or what the trials leave open of it."""
    if end.low is not None and end.high is not None:
        return f"90 % interval {value_text(end.low)} to {value_text(end.high)}"
    if end.low is not None:
        return f"90 % interval: {value_text(end.low)} or more"
    if end.high is not None:
        return f"90 % interval: {value_text(end.high)} or less, perhaps none"
    return "90 % interval: the trials leave it open"


def end_text(end: SafeEnd) -> str:
    """`0.12 (0.10 to 0.15)`, or that nothing is safe."""
    if end.value is None:
        return f"none (best {value_text(end.best)}, {percent_text(end.p_best)})"
    low = "none" if end.low is None else value_text(end.low)
    high = "beyond" if end.high is None else value_text(end.high)
    return f"{value_text(end.value)} ({low} to {high})"


def move_sentence(move: Move, end: SafeEnd, axis: AnyAxis) -> str:
    """How the largest safe value moves with one other axis."""
    target, other = name_text(end.axis), name_text(move.axis)
    if isinstance(axis, Choice):
        return (
            f"By {other}: {', '.join(f'{worded_value_text(value)} {end_text(each)}' for value, each in move.levels)}."
        )
    if move.slope is None:
        return (
            f"How it moves with {other} does not show: at too few values the largest safe {target} lies within the "
            "search."
        )
    return _slope_sentence(move.slope, other, axis.low, axis.high)


def safe_sentence() -> str:
    """What safe means."""
    return f"Safe: {percent_text(SAFE)} of new trainings succeed."


def move_rows(moves: tuple[Move, ...]) -> list[list[object]]:
    """Rows of the table of levels: axis, value, largest safe value with its interval."""
    return [[name_text(move.axis), value_text(value), end_text(end)] for move in moves for value, end in move.levels]


def _slope_sentence(slope: Slope, other: str, low: float, high: float) -> str:
    if slope.log_other:
        per = math.log10(2)
        unit, when = "decades per decade" if slope.log_end else "per decade", f"With each doubling of {other}"
    else:
        per = high - low
        unit, when = (
            "decades per unit" if slope.log_end else "per unit",
            f"From {other} {value_text(low)} to {value_text(high)}",
        )
    changes = [per * each for each in (slope.per_decade, slope.low, slope.high)]
    if slope.log_end:
        middle, least, most = (value_text(10**change) for change in changes)
        told = f"{when} it is multiplied by {middle} ({least} to {most})"
    else:
        told = f"{when} it changes by {changes[0]:+.3g} ({changes[1]:+.3g} to {changes[2]:+.3g})"
    unseen = ", so no move can be seen" if slope.low <= 0 <= slope.high else ""
    return f"{told}: slope {slope.per_decade:+.2f} {unit} ({slope.low:+.2f} to {slope.high:+.2f}){unseen}."
