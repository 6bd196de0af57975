"""The table of stable intervals in the terminal: what was measured, with mean-field theory beside init scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gradstab.display.criterion import band_text
from gradstab.display.numbers import count_range_text, interval_text, name_text, value_text
from gradstab.errors import GradstabError
from gradstab.stability.intervals import SCALES, IntervalTable, StableInterval
from gradstab.study.criterion import Criterion
from gradstab.study.study import Study
from gradstab.theory.critical_scales import band_edges, critical_init_scale
from gradstab.theory.relative_scale import resolved_recipe


@dataclass(frozen=True)
class Theory:
    """The band of init scales in which mean-field theory has |R| < R0, at a depth; None for an end it does not have."""

    lower: float | None
    upper: float | None
    depth: int


def title_of(table: IntervalTable) -> str:
    """What stands above the table."""
    if table.axis is None:
        return "stable trials"
    merged = f" (over all values of {', '.join(map(name_text, table.merged))})" if table.merged else ""
    return f"stable {name_text(table.axis)}, read off the trials{merged}"


def interval_rows(study: Study, criterion: Criterion, table: IntervalTable) -> tuple[list[str], list[list[object]]]:
    """Columns and rows of the table; the theory is that of R alone. A choice of one value has no column."""
    choices = [name for name in table.choices if len({str(each.choices[name]) for each in table.rows}) > 1]
    columns = [*map(name_text, choices), *(["depth"] if table.by_depth else [])]
    if table.axis is None:
        rows = [[*_place(each, choices), each.num_stable, each.num_trials] for each in table.rows]
        return [*columns, "stable", "trials"], rows
    with_theory = table.axis in SCALES and study.model is None
    columns += [f"stable {name_text(table.axis)}", "of it stable", "misfits", "trials"]
    columns += ["theory"] if with_theory else []
    return columns, [
        [
            *_place(each, choices),
            _measured(each),
            f"{each.num_stable_inside}/{each.num_inside}" if each.found else "",
            each.num_misclassified,
            each.num_trials,
            *([_theory(theory_of(study, criterion, table.axis, each))] if with_theory else []),
        ]
        for each in table.rows
    ]


def legend(table: IntervalTable, criterion: Criterion) -> list[str]:
    """What the columns of the table mean, one sentence each."""
    if table.axis is None:
        return []
    lines = [
        "of it stable: stable trials of all trials in the interval. misfits: stable trials outside, and others inside."
    ]
    if table.axis in SCALES:
        lines.append(f"theory: where mean-field theory has {band_text(criterion, 'R')}, at L layers.")
    return lines


def theory_of(study: Study, criterion: Criterion, axis: str | None, interval: StableInterval) -> Theory | None:
    """What mean-field theory expects at the typical point of a row; None where there is no such theory."""
    if axis not in SCALES or study.model is not None:
        return None
    recipe = resolved_recipe(study, {**interval.typical, axis: study.space.axes[axis].levels(2)[0]})
    try:
        edges = band_edges(recipe.activation, recipe.bias_scale, recipe.depth, criterion.ratio_band)
        unit = 1.0 if axis == "init_scale" else critical_init_scale(recipe.activation, recipe.bias_scale)
    except GradstabError:  # an activation that theory does not know
        return None
    low, high = (None if edge is None else edge / unit for edge in (edges.lower, edges.upper))
    return Theory(low, high, recipe.depth)


def _theory(found: Theory | None) -> str:
    if found is None:
        return ""
    return f"{_ends(found.lower, found.upper)} (L={found.depth})"


def interval_data(study: Study, criterion: Criterion, table: IntervalTable) -> dict[str, Any]:
    """The same table as JSON types."""
    data = asdict(table)
    for row, each in zip(data["rows"], table.rows, strict=True):
        theory = theory_of(study, criterion, table.axis, each)
        row["theory"] = None if theory is None else asdict(theory)
    return data


def _place(interval: StableInterval, choices: Sequence[str]) -> list[object]:
    cells: list[object] = [value_text(interval.choices[name]) for name in choices]
    if interval.depth_low is not None and interval.depth_high is not None:
        cells.append(count_range_text(interval.depth_low, interval.depth_high))
    return cells


def _measured(interval: StableInterval) -> str:
    if not interval.applies:
        return "no effect"
    if not interval.found:
        return "none found"
    return _ends(interval.lower, interval.upper)


def _ends(lower: float | None, upper: float | None) -> str:
    return interval_text(lower, upper, low_open=lower is None, high_open=upper is None)
