"""Which trials a study lacks for an answer: an axis that it does not vary, a range that ends too soon, more of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gradstab.display.numbers import counted, name_text, value_text
from gradstab.errors import StudyError
from gradstab.stability.clip_effect import CLIP, THRESHOLD
from gradstab.stability.safe_end import DrawnLines, SafeEnd
from gradstab.study.axes import AnyAxis, Choice, Integer, LogInteger, LogReal, Real
from gradstab.study.sampler_spec import SobolSpec
from gradstab.study.study import Study

if TYPE_CHECKING:
    from gradstab.results.recommending.clip_advice import ClipAdvice
    from gradstab.results.results import Results

LEARNING_RATE = "learning_rate"
WIDEST = 2.0  # the factor between the ends of an interval, above which more trials are asked for
WIDEST_LINEAR = 0.2  # of the searched range, where an axis is not searched in log
FEWEST = 20  # trials from which on an end is read at all
LEAST_TRIALS = 200  # of a plan
_TIMES = (1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
_BELOW, _ABOVE = 30.0, 10.0  # how far a new axis reaches around the value that was fixed
_THRESHOLDS = 10.0  # how far thresholds reach around the one that acts on 2 % of the steps


@dataclass(frozen=True)
class LackingTrials:
    """Trials that a question needs and the study does not have.

    Attributes:
        sentence: what is not known, and which trials would tell.
        trials: how many trials there would be in all.
        axes: axes to add, or with another range.
    """

    sentence: str
    trials: int
    axes: Mapping[str, AnyAxis] = field(default_factory=dict)


def not_varied(results: Results) -> LackingTrials:
    """The study fixed the learning rate."""
    fixed = results.study.recipe.learning_rate
    axis = LogReal(float(f"{fixed / _BELOW:.1g}"), float(f"{fixed * _ABOVE:.1g}"))
    trials = _as_many_again(results)
    return LackingTrials(
        f"The largest safe learning rate is not known: all trials were trained at {value_text(fixed)}. "
        f"It takes an axis learning_rate from {value_text(axis.low)} to {value_text(axis.high)} and about "
        f"{counted(trials, 'trial')}.",
        trials,
        {LEARNING_RATE: axis},
    )


def too_few(results: Results, axis: str) -> LackingTrials | None:
    """So few trials that an interval would mean nothing."""
    found = len(results.measured.numbers)
    if found >= FEWEST:
        return None
    return LackingTrials(
        f"The largest safe {name_text(axis)} is not known from {counted(found, 'trial')}: "
        f"it takes about {LEAST_TRIALS}.",
        LEAST_TRIALS,
    )


def end_not_reached(results: Results, end: SafeEnd) -> LackingTrials | None:
    """The stretch of safe values reaches the end of the search; None where the axis can reach no farther."""
    axis = results.study.space.axes[end.axis]
    wider = _extended(axis)
    trials = _as_many_again(results)
    if wider is None or isinstance(wider, Choice) or planned(results.study, {end.axis: wider}, trials) is None:
        return None
    return LackingTrials(
        f"Where {name_text(end.axis)} becomes too large is not known: the search ends at {value_text(end.value)}. "
        f"It takes the axis up to {value_text(wider.high)} and about {counted(trials, 'trial')}.",
        trials,
        {end.axis: wider},
    )


def too_uncertain(results: Results, end: SafeEnd, drawn: DrawnLines) -> LackingTrials | None:
    """The interval of the end is too wide to act on, or too few trials leave open whether anything is safe."""
    axis = results.study.space.axes[end.axis]
    assert not isinstance(axis, Choice)
    if end.high_open or _is_sharp(axis, drawn, 1.0):
        return None
    trials = len(results.measured.numbers)
    name = name_text(end.axis)
    lead = f"The largest safe {name} is known only roughly"
    if end.value is None:
        if not drawn.is_safe_if_known(0):
            return None  # nothing is safe, however well it were known
        lead = f"Too few trials tell whether any {name} is safe here"
    times = next((times for times in _TIMES if _is_sharp(axis, drawn, times)), None)
    if times is None:
        wanted = math.ceil(_TIMES[-1] * trials)
        return LackingTrials(f"{lead}: more than {counted(wanted, 'trial')} would be needed to narrow it down.", wanted)
    wanted = math.ceil(times * trials)
    width = f"a factor of {WIDEST:g}" if axis.is_log else f"a {1 / WIDEST_LINEAR:g}th of the range"
    return LackingTrials(
        f"{lead}: about {wanted - trials} more trials, {wanted} in all, would bring its interval below {width}.", wanted
    )


def clipping_unknown(results: Results, clip: ClipAdvice) -> LackingTrials | None:
    """The study does not hold both clipped and unclipped trainings, so that what clipping saves is not known."""
    if clip.threshold is None or (clip.has_clipped and clip.has_unclipped):
        return None
    space = results.study.space
    axes: dict[str, AnyAxis] = {} if CLIP in space.names() else {CLIP: Choice((False, True))}
    if THRESHOLD not in space.names():
        axes[THRESHOLD] = LogReal(
            float(f"{clip.threshold / _THRESHOLDS:.1g}"), float(f"{clip.threshold * _THRESHOLDS:.1g}")
        )
    trials = _as_many_again(results)
    lacking = "without clipping" if clip.has_clipped else "with clipping"
    return LackingTrials(
        f"What clipping saves is not known: the study holds no trial {lacking}. It takes the "
        f"{'axes' if len(axes) > 1 else 'axis'} {' and '.join(axes)} and about {counted(trials, 'trial')}.",
        trials,
        axes,
    )


def planned(study: Study, axes: Mapping[str, AnyAxis], trials: int) -> Study | None:
    """The study with these axes and as many trials, as `LackingTrials` asks; None where that is no sound study.

    A study with other axes is another study and has another name; with more trials it is the same one. A sampler that
    cannot search an added axis gives way to Sobol points.
    """
    for sampler in (study.sampler, SobolSpec()):
        with suppress(StudyError):
            return Study.model_validate({**_changed(study, axes, trials), "sampler": sampler})
    return None


def _changed(study: Study, axes: Mapping[str, AnyAxis], trials: int) -> dict[str, Any]:
    fields: dict[str, Any] = {**dict(study), "budget": {**dict(study.budget), "trials": trials}}
    if axes:
        fields["name"] = f"{study.name}-plan"
        fields["space"] = {**study.space.axes, **axes}
        fields["recipe"] = study.recipe.model_dump(exclude_unset=True, exclude=set(axes))
    return fields


def _as_many_again(results: Results) -> int:
    return max(LEAST_TRIALS, 2 * len(results.measured.numbers))


def _is_sharp(axis: Real | LogReal | Integer | LogInteger, drawn: DrawnLines, times: float) -> bool:
    low, high = drawn.ends(times=times).interval(0)
    if not (math.isfinite(low) and math.isfinite(high)):
        return False
    low_value, high_value = (float(axis.from_unit(min(1.0, max(0.0, unit)))) for unit in (low, high))
    if axis.is_log:
        return high_value <= WIDEST * low_value or (axis.is_whole and high_value - low_value <= 1)
    return high - low <= WIDEST_LINEAR


def _extended(axis: AnyAxis) -> AnyAxis | None:
    """The axis with a higher end: ten times as high in log, else twice as far."""
    if isinstance(axis, LogReal):
        return LogReal(axis.low, 10 * axis.high)
    if isinstance(axis, LogInteger):
        return LogInteger(axis.low, 4 * axis.high)
    if isinstance(axis, Real):
        return Real(axis.low, axis.high + (axis.high - axis.low))
    if isinstance(axis, Integer):
        return Integer(axis.low, axis.high + (axis.high - axis.low))
    return None
