"""The region at a point in words and as data: `gradstab region` prints it, and so does `print(results.region(...))`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gradstab.display.criterion import bands_text
from gradstab.display.numbers import (
    counted,
    name_text,
    named_value_text,
    percent_text,
    point_text,
    value_text,
)
from gradstab.display.table import WIDTH, table_text, wrapped
from gradstab.display.verdicts import verdict_text
from gradstab.errors import UsageError
from gradstab.results.span_words import best_phrase, edge_ranges_text, is_whole, short_spans_text, spans_text
from gradstab.stability.intervals import main_axis
from gradstab.stability.region import SAFE
from gradstab.stability.region_at import RegionAt
from gradstab.stability.spans import Line, Span
from gradstab.study.axes import AnyAxis, Value
from gradstab.study.recipe import idle
from gradstab.study.spelling import means

if TYPE_CHECKING:
    from gradstab.results.results import Results


def point_values(results: Results, places: Sequence[str]) -> dict[str, Value]:
    """Values by axis from `depth=50` and the like, of the type that the axis has.

    Raises:
        UsageError: a place is not AXIS=VALUE, stands twice, or is no number where one is needed.
    """
    found: dict[str, Value] = {}
    for place in places:
        name, equals, text = (part.strip() for part in place.partition("="))
        if not equals or not name or not text:
            raise UsageError(f"--at must be AXIS=VALUE, got {place!r}; for example --at depth=10")
        if name in found:
            raise UsageError(f"--at {name} must be given once, got it twice")
        axis = results.study.space.axes.get(name)
        fixed = results.study.dump()["recipe"].get(name)
        found[name] = _of_axis(name, axis, text) if axis is not None else _of_recipe(fixed, text)
    return found


def _of_axis(name: str, axis: AnyAxis, text: str) -> Value:
    try:
        return axis.parse(text)
    except ValueError as error:
        if axis.is_choice:
            return text  # it is refused later, with the choices that were searched
        raise UsageError(f"{name} {error}") from None


def _of_recipe(fixed: object, text: str) -> Value:
    """The fixed value of the recipe where the text means it, else the text as it is."""
    return fixed if isinstance(fixed, bool | int | float | str) and means(text, fixed) else text


def point_data(results: Results, found: RegionAt) -> dict[str, Any]:
    """The region at a point for scripts."""
    rows = {row.number: row.columns() for row in results.rows}
    numbers = results.measured.numbers
    return {
        "study": results.study.name,
        "responses": list(results.judged_by),
        "num_trials": len(numbers),
        **asdict(found),
        "nearest": [
            {"trial": numbers[index], "distance": distance, **rows[numbers[index]]} for index, distance in found.nearest
        ],
    }


def region_text(results: Results, found: RegionAt, width: int = WIDTH) -> str:
    """The whole answer: what to use, the intervals of the open axes, the nearest cliff and the nearest trials."""
    parts = ["\n".join(wrapped(line, width) for line in advice(found)), wrapped(basis_text(results), width)]
    if found.lines:
        parts.append(table_text("Intervals of the open axes, each with the others held:", *line_rows(found), width))
    parts.append("\n".join(wrapped(sentence, width) for sentence in point_sentences(found)))
    title = "Nearest measured trials (distance in parts of a searched range):"
    parts.append(table_text(title, *nearest_rows(results, found), width))
    return "\n\n".join(parts)


def basis_text(results: Results) -> str:
    """What an answer rests on, and what stable means in it."""
    judged = bands_text(results.criterion, results.judged_by, results.study.model)
    return (
        f"From {counted(len(results.measured.numbers), 'trial')} of {results.study.name}. A training succeeds (is "
        f"stable) if {judged}."
    )


def advice(found: RegionAt, axis: str | None = None) -> list[str]:
    """What to use: one sentence, or one line for each value of the open choices.

    Args:
        axis: an open axis; by default the init scale where it is open, the depth only where nothing else is.
    """
    axis = axis or main_axis(line.axis for line in found.lines)
    if axis is None:
        return [_sentence(_where(found.point, found.at), f"{percent_text(found.p_next)} of trainings succeed.")]
    lines = [line for line in found.lines if line.axis == axis]
    others = {name: value for name, value in found.point.items() if name != axis}
    varying = [name for name, value in others.items() if any(line.held[name] != value for line in lines)]
    held = {name: value for name, value in others.items() if name not in varying and not idle(name, others)}
    where = _where(held, found.at)
    if not varying:
        return [_sentence(where, _use(lines[0]))]
    labels = [
        ", ".join(named_value_text(name, line.held[name]) for name in varying if not idle(name, line.held))
        for line in lines
    ]
    return [_sentence(where, f"it depends on {' and '.join(map(name_text, varying))}:")] + [
        f"- {label}: {_use(line)}" for label, line in zip(labels, lines, strict=True)
    ]


def _sentence(where: str, told: str) -> str:
    """`At depth 10, ...`; what is told alone for no place."""
    return f"{where[0].upper()}{where[1:]}, {told}" if where else told[0].upper() + told[1:]


def _where(place: Mapping[str, Value], given: Collection[str]) -> str:
    """`at depth 10 (with clip on, where it is safest)`: the given values, and those that were chosen in their place."""
    asked = _place_text({name: value for name, value in place.items() if name in given})
    chosen = _place_text({name: value for name, value in place.items() if name not in given})
    if not chosen:
        return asked
    return f"{asked} ({chosen}, where it is safest)" if asked else f"{chosen}, where it is safest"


def _place_text(place: Mapping[str, Value]) -> str:
    """`at depth 10 with clip on`."""
    numbers = {name: value for name, value in place.items() if not isinstance(value, bool | str)}
    choices = [named_value_text(name, value) for name, value in place.items() if name not in numbers]
    parts = [f"at {point_text(numbers)}"] if numbers else []
    return " ".join([*parts, *([f"with {', '.join(choices)}"] if choices else [])])


def _use(line: Line) -> str:
    name = name_text(line.axis)
    if line.safe:
        return f"{_safe(name, line.safe)} ({percent_text(SAFE)} of trainings succeed). Best: {value_text(line.best)}."
    rate = f"{best_phrase(line.best, line.p_best)}."
    if line.region:
        spans = f"any {name}" if is_whole(line.region) else f"{name} {short_spans_text(line.region)}"
        return f"no {name} is safe: {rate} The median training succeeds at {spans}."
    return f"no {name} is stable: {rate}"


def _safe(name: str, spans: Sequence[Span]) -> str:
    if is_whole(spans):
        return f"any {name} is safe"
    if any(span.low_open or span.high_open for span in spans):
        return f"{name} {short_spans_text(spans)} is safe"
    return f"use {name} {short_spans_text(spans)}"


def line_rows(found: RegionAt) -> tuple[list[str], list[list[object]]]:
    """Columns and rows of the table of open axes, one row for each value of the open choices."""
    # a threshold is held only where clipping is on, so lines need not hold the same axes
    names = list(dict.fromkeys(name for line in found.lines for name in line.held))
    held = [{name: value for name, value in line.held.items() if not idle(name, line.held)} for line in found.lines]
    # an axis of numbers is held at one value in all lines but its own
    choices = [name for name in names if len({str(each[name]) for each in held if name in each}) > 1]
    columns = [*(name_text(name) for name in choices), "axis", "safe for one training", "stable in the median"]
    columns += ["its ends, 90 %", "best"]
    return columns, [
        [*(value_text(each.get(name)) for name in choices), *_line_cells(line)]
        for each, line in zip(held, found.lines, strict=True)
    ]


def _line_cells(line: Line) -> list[object]:
    ends = "; ".join(edge_ranges_text(span) for span in line.region)
    return [name_text(line.axis), spans_text(line.safe), spans_text(line.region), ends or "-", value_text(line.best)]


def point_sentences(found: RegionAt) -> list[str]:
    """How likely the point is stable, and how far the nearest cliff is."""
    open_axes = {name: value for name, value in found.point.items() if name not in found.at}
    place = f"The safest place that is left open is {point_text(open_axes)}. There" if open_axes else "There"
    told = [
        f"{place} one new training is stable with probability {found.p_next:.2f}, and the median over seeds with "
        f"{found.p_region:.2f}."
    ]
    if open_axes and found.p_next <= SAFE:
        told.append(f"No setting of the open axes is safe: none makes {percent_text(SAFE)} of trainings succeed.")
    elif open_axes:
        told.append(f"{percent_text(found.safe_share)} of what is left open is safe for one new training.")
    if found.p_region < 0.5:
        told.append("This point lies beyond the cliff: the median training is not stable there.")
    elif found.cliff is None:
        told.append("No cliff was found within what was searched.")
    else:
        changed = {name: value for name, value in found.cliff.point.items() if value != found.point[name]}
        before = point_text({name: found.point[name] for name in changed})
        told.append(
            f"The nearest cliff is at {point_text(changed)} (from {before}), {percent_text(found.cliff.distance)} of a "
            f"searched range away; beyond it the median training is {found.cliff.side}."
        )
    return told


def nearest_rows(results: Results, found: RegionAt) -> tuple[list[str], list[list[object]]]:
    """Columns and rows of the nearest measured trials."""
    axes, responses = list(results.study.space.names()), list(results.measured.responses)
    rows = {row.number: row.columns() for row in results.rows}
    cells: list[list[object]] = []
    for index, distance in found.nearest:
        row = rows[results.measured.numbers[index]]
        values = [
            *(value_text(row[name]) for name in axes),
            *(results.measured.responses[name][index] for name in responses),
        ]
        cells.append(
            [results.measured.numbers[index], percent_text(distance), *values, verdict_text(str(row["verdict"]))]
        )
    return ["trial", "distance", *(name_text(name) for name in axes), *responses, "verdict"], cells
