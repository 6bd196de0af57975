"""The region at a point in words and as data, for `gradstab region`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from gradstab.display.criterion import bands_text
from gradstab.display.numbers import name_text, percent_text, point_text, value_text
from gradstab.errors import UsageError
from gradstab.report.wording import edge_ranges_text, spans_text
from gradstab.results.results import Results
from gradstab.stability.region import SAFE
from gradstab.stability.region_at import RegionAt
from gradstab.stability.spans import Line
from gradstab.study.axes import AnyAxis, Value, means
from gradstab.study.recipe import idle


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


def headline(results: Results, found: RegionAt) -> str:
    """The study, the criterion and the point in two lines."""
    judged = bands_text(results.criterion, results.judged_by)
    return (
        f"{results.study.name}, {len(results.measured.numbers)} trials, stable is {judged}\n"
        f"at {point_text(found.at) or 'any point'}"
    )


def line_rows(found: RegionAt) -> tuple[list[str], list[list[object]]]:
    """Columns and rows of the table of open axes, one row for each value of the open choices."""
    # a threshold is held only where clipping is on, so lines need not hold the same axes
    names = list(dict.fromkeys(name for line in found.lines for name in line.held))
    held = [{name: value for name, value in line.held.items() if not idle(name, line.held)} for line in found.lines]
    choices = [name for name in names if len({str(each.get(name)) for each in held}) > 1]
    columns = [*(name_text(name) for name in choices), "axis", "safe for one training", "stable in the median"]
    columns += ["its ends, 90 %", "p_next there: low, middle, high", "best p_next"]
    return columns, [
        [*(value_text(each.get(name)) for name in choices), *_line_cells(line)]
        for each, line in zip(held, found.lines, strict=True)
    ]


def _line_cells(line: Line) -> list[object]:
    odds = "; ".join(f"{span.p_low:.2f}, {span.p_middle:.2f}, {span.p_high:.2f}" for span in line.region)
    ends = "; ".join(edge_ranges_text(span) for span in line.region)
    best = f"{line.p_best:.2f} at {value_text(line.best)}"
    return [name_text(line.axis), spans_text(line.safe), spans_text(line.region), ends or "-", odds or "-", best]


def point_sentences(found: RegionAt) -> list[str]:
    """How likely the point is stable, and how far the nearest cliff is."""
    open_axes = {name: value for name, value in found.point.items() if name not in found.at}
    place = f"At {point_text(open_axes)}, the safest place that is left open" if open_axes else "There"
    told = [
        f"{place}, one new training is stable with probability {found.p_next:.2f}; the median over seeds is stable "
        f"with probability {found.p_region:.2f}."
    ]
    if open_axes and found.p_next <= SAFE:
        told.append("No setting of the open axes is safe for one new training (p_next > .95).")
    elif open_axes:
        told.append(f"{percent_text(found.safe_share)} of what is left open is safe for one new training.")
    if found.p_region < 0.5:
        told.append("This point lies beyond the cliff: the median training is not stable there.")
    elif found.cliff is None:
        told.append("No cliff was found within what was searched.")
    else:
        changed = {name: value for name, value in found.cliff.point.items() if value != found.point[name]}
        told.append(
            f"The nearest cliff is {percent_text(found.cliff.distance)} of a search range away, at "
            f"{point_text(changed)}: {found.cliff.side} beyond it."
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
        cells.append([results.measured.numbers[index], percent_text(distance), *values, row["verdict"]])
    return ["trial", "distance", *(name_text(name) for name in axes), *responses, "verdict"], cells
