"""The answer of a study in plain sentences, one for each choice: the same on the page, in MLflow, in a notebook and in
the terminal.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gradstab.display.criterion import bands_text
from gradstab.display.numbers import counted, name_text, named_value_text, percent_text, value_text
from gradstab.results.span_words import span_phrase
from gradstab.results.trial_rows import measured_trials
from gradstab.stability.intervals import DEPTH, main_axis
from gradstab.stability.region import SAFE
from gradstab.stability.region_at import region_at
from gradstab.stability.spans import Line, lines
from gradstab.study.axes import Value
from gradstab.study.recipe import distinct, idle

if TYPE_CHECKING:
    from gradstab.results.results import Results

MOST_CHOICES = 12
_DEPTHS = 24
_MANY = 20  # trainings of a choice, from which it is worth saying that all of them succeeded


def answer_lines(results: Results) -> list[str]:
    """What safe means in this study, then a sentence for each choice, then what is safe nowhere.

    Raises:
        UsageError: no trial was measured yet.
    """
    judged = bands_text(results.criterion, results.judged_by, results.study.model)
    lead = f"Safe: one new training succeeds with a probability above {percent_text(SAFE)}. It succeeds if {judged}."
    combinations = _combinations(results)
    axis = main_axis(results.study.space.numeric())
    told, deepest = [], []
    for choice in combinations[:MOST_CHOICES]:
        label = ", ".join(named_value_text(name, value) for name, value in choice.items() if not idle(name, choice))
        sentence, depth = _without_numbers(results, choice) if axis is None else _along(results, axis, choice)
        count = _all_that_succeeded(results, choice)
        if count:
            sentence = f"all {count} trainings succeeded. Of one more the model says: {sentence}"
        told.append(f"{label}: {sentence}" if label else sentence[:1].upper() + sentence[1:])
        deepest.append(depth)
    if len(combinations) > MOST_CHOICES:
        told.append(
            f"{len(combinations) - MOST_CHOICES} further combinations of choices are in the table of the report."
        )
    depths = results.study.space.axes.get(DEPTH)
    if axis is not None and axis != DEPTH and depths is not None and not depths.is_choice:
        most = int(depths.extremes()[-1])
        if all(depth is not None and depth < most for depth in deepest):
            told.append(f"Nothing was found safe at {_depth_text(results, most)}, the deepest that were searched.")
    return [lead, *told]


def _combinations(results: Results) -> list[dict[str, Value]]:
    """Every combination of choices, without those that differ only in an axis that has no effect there."""
    axes = results.study.space.choices()
    combinations = itertools.product(*(axis.choices for axis in axes.values()))
    return distinct(dict(zip(axes, values, strict=True)) for values in combinations)


def _all_that_succeeded(results: Results, choice: Mapping[str, Value]) -> int:
    """How many trainings of a choice were measured, if all of them succeeded and they are not few; else 0."""
    margins = [
        trial.judgement.margin
        for row, trial in measured_trials(results.rows)
        if all(idle(name, choice) or row.point[name] == value for name, value in choice.items())
    ]
    return len(margins) if len(margins) >= _MANY and min(margins) > 0 else 0


def _without_numbers(results: Results, choice: Mapping[str, Value]) -> tuple[str, None]:
    p_next = float(results.estimator.at([choice]).p_next[0])
    state = "safe" if p_next > SAFE else "not safe"
    return f"{state}, {percent_text(p_next)} of trainings succeed.", None


def _along(results: Results, axis: str, choice: Mapping[str, Value]) -> tuple[str, int | None]:
    """The sentence of a choice, and the greatest depth at which something is safe; 0 for none, None without depths."""
    space = results.study.space
    others = _held(results, axis, choice)
    shown = [named_value_text(name, value) for name, value in others.items() if not idle(name, choice)]
    where = f" ({', '.join(shown)})" if shown else ""
    depths = space.axes.get(DEPTH)
    if axis == DEPTH or depths is None or depths.is_choice:
        (line,) = lines(results.estimator, axis, [{**choice, **others}])
        return _spans_sentence(line, axis) + where + ".", None
    reference = int(depths.from_unit(0.5))
    tried = sorted({reference, *(int(depth) for depth in depths.levels(_DEPTHS))})
    found = dict(
        zip(tried, lines(results.estimator, axis, [{**choice, **others, DEPTH: d} for d in tried]), strict=True)
    )
    safe = [depth for depth in tried if found[depth].safe]
    if not safe:
        best = max(tried, key=lambda depth: found[depth].p_best)
        text = f"safe nowhere; best at {_depth_text(results, best)}, {name_text(axis)} {value_text(found[best].best)}"
        return f"{text}, where {percent_text(found[best].p_best)} of trainings succeed{where}.", 0
    deepest = _depth_text(results, safe[-1])
    last = f"up to {deepest} deep" if results.study.model is None else f"up to {deepest}"
    if safe[-1] == tried[-1]:
        last += ", the deepest that were searched"
    if found[reference].safe:
        return (
            f"{name_text(axis)} {_safe_text(found[reference])} at {_depth_text(results, reference)}, {last}{where}.",
            safe[-1],
        )
    near = min(safe, key=lambda depth: abs(depth - reference))
    at_best = _below_safe_text(found[reference].p_best)
    text = f"not safe at {_depth_text(results, reference)} ({at_best}); {name_text(axis)} {_safe_text(found[near])}"
    return f"{text} at {_depth_text(results, near)}{where}; safe {last}.", safe[-1]


def _depth_text(results: Results, depth: int) -> str:
    """`7 layers`; `depth 7` of a module, whose builder says what there are so many of."""
    return counted(depth, "layer") if results.study.model is None else f"depth {depth}"


def _below_safe_text(p_best: float) -> str:
    """What the best place of a depth comes to, where it is not safe."""
    best = percent_text(p_best)
    return f"just below {best}" if best == percent_text(SAFE) else f"{best} at best"


def _held(results: Results, axis: str, choice: Mapping[str, Value]) -> dict[str, Value]:
    """Values of the further numeric axes: where this choice is safest."""
    names = [name for name in results.study.space.numeric() if name not in (axis, DEPTH)]
    if not names:
        return {}
    found = region_at(results.estimator, dict(choice), results.measured.points, {})
    return {name: found.point[name] for name in names}


def _spans_sentence(line: Line, axis: str) -> str:
    if line.safe:
        return f"{name_text(axis)} {_safe_text(line)}"
    best = f"best at {name_text(axis)} {value_text(line.best)}, where {percent_text(line.p_best)} of trainings succeed"
    return f"safe nowhere; {best}"


def _safe_text(line: Line) -> str:
    """`safe from 0.92 to 2.3`, `safe up to 2.3`, or both of two spans."""
    return " and ".join(f"safe {span_phrase(span)}" for span in line.safe)
