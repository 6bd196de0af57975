"""How a space is cut into the panels of a figure: two numeric axes span each panel, choices and cuts set them apart.

The two numeric axes that decide most span the plane. Every combination of choices gets panels of its own; a third
numeric axis is cut at three values, and any further ones are held where the region is largest.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradstab.display.numbers import named_value_text
from gradstab.errors import UsageError
from gradstab.stability.contributions import Contribution
from gradstab.stability.phase_diagram import Cloud, PhaseDiagram
from gradstab.study.axes import AnyAxis, Choice, Value
from gradstab.study.recipe import idle

SCALES = ("init_scale", "relative_init_scale")
MOST_COMBINATIONS, MOST_LINES = 9, 24
MOST_COLUMNS = 4
CUTS = (1 / 6, 1 / 2, 5 / 6)
_BINS = 5


@dataclass(frozen=True)
class PanelLayout:
    """How a study's space is cut into planes.

    Attributes:
        x, y: the axes of the planes; y is None where the space has one numeric axis.
        choices: the combinations of choices, one column of panels each.
        cut: the axis that is cut, and its values; None where there is no third.
        held: value of every further axis, where the region is largest.
    """

    x: str
    y: str | None
    choices: tuple[dict[str, Value], ...]
    cut: tuple[str, tuple[Value, ...]] | None
    held: dict[str, Value]

    def panel_values(self) -> list[dict[str, Value]]:
        """The values held in each panel, row by row of cuts; one panel where the cut axis has no effect."""
        if self.cut is None:
            return [{**self.held, **choice} for choice in self.choices]
        name, values = self.cut
        panels = [{**self.held, name: value, **choice} for value in values for choice in self.choices]
        return [held for held in panels if not idle(name, held) or held[name] == values[0]]

    def at(self, values: Mapping[str, Value]) -> PanelLayout:
        """The layout with some axes held at values: of choices, the panels that agree with them.

        Raises:
            UsageError: an axis spans the panels, is none of the space, or has no such choice.
        """
        changed = self
        for name, value in values.items():
            if name in (self.x, self.y):
                raise UsageError(f"at must hold axes that do not span the figure, got {name}, which does")
            if self.cut is not None and name == self.cut[0]:
                changed = replace(changed, cut=None, held={**changed.held, name: value})
            elif name in self.held:
                changed = replace(changed, held={**changed.held, name: value})
            elif any(name in choice for choice in self.choices):
                kept = tuple(choice for choice in changed.choices if choice[name] == value)
                if not kept:
                    known = ", ".join(dict.fromkeys(str(choice[name]) for choice in self.choices))
                    raise UsageError(f"{name} must be one of {known}, got {value!r}")
                changed = replace(changed, choices=kept)
            else:
                raise UsageError(f"at must name axes of the study, got {name}")
        return changed

    def title(self, held: Mapping[str, Value]) -> str:
        """What sets a panel apart, in words."""
        hidden = {name for name in held if name in self.held or (self.cut is not None and idle(name, held))}
        return ", ".join(named_value_text(name, value) for name, value in held.items() if name not in hidden)

    @property
    def columns(self) -> int:
        """Panels in a row: one for each combination of choices, but at most four where rows would not be alike."""
        panels = self.panel_values()
        even = self.cut is not None and len(panels) == len(self.choices) * len(self.cut[1])
        return len(self.choices) if even else min(MOST_COLUMNS, len(panels))


def panel_layout(diagram: PhaseDiagram, found: Sequence[Contribution]) -> PanelLayout | None:
    """How the space of a cloud's diagram is cut, by what each axis contributes; None where no axis is numeric."""
    axes = diagram.cells.coordinates.space.axes
    share = {each.axis: each.of_region for each in found}
    numeric = sorted((n for n, axis in axes.items() if not axis.is_choice), key=lambda name: -share[name])
    if not numeric:
        return None
    spanned, others = numeric[:2], numeric[2:]
    # theory is about the init scale, so that runs along x, against depth
    spanned.sort(key=lambda name: (name not in SCALES, name == "depth"))
    best = _where_largest(diagram, others[1:])
    cut = None
    if others:
        cut = others[0], tuple(dict.fromkeys(axes[others[0]].from_unit(unit) for unit in CUTS))
    kept, fixed = _choices(axes, share, diagram, MOST_COMBINATIONS if len(spanned) > 1 else MOST_LINES)
    return PanelLayout(spanned[0], spanned[1] if len(spanned) > 1 else None, kept, cut, {**best, **fixed})


def _where_largest(diagram: PhaseDiagram, names: Sequence[str]) -> dict[str, Value]:
    """For each numeric axis the middle of that fifth of it in which most of the region lies."""
    cells = diagram.cells
    assert isinstance(cells, Cloud)
    best: dict[str, Value] = {}
    for name in names:
        bin_M = np.minimum((cells.unit_MD[:, cells.coordinates.names.index(name)] * _BINS).astype(int), _BINS - 1)
        volume = np.bincount(bin_M, weights=diagram.p_region, minlength=_BINS)
        best[name] = cells.coordinates.axis_value(name, (int(volume.argmax()) + 0.5) / _BINS)
    return best


def _choices(
    axes: Mapping[str, AnyAxis], share: Mapping[str, float], diagram: PhaseDiagram, most: int
) -> tuple[tuple[dict[str, Value], ...], dict[str, Value]]:
    """Combinations of the choices that decide most, as many as fit into a figure, and the values of the other axes."""
    options = {name: axis.choices for name, axis in axes.items() if isinstance(axis, Choice)}
    drawn: list[str] = []
    for name in sorted(options, key=lambda name: -share[name]):
        if np.prod([len(options[other]) for other in (*drawn, name)]) <= most:
            drawn.append(name)
    cells = diagram.cells
    assert isinstance(cells, Cloud)
    fixed: dict[str, Value] = {}
    for name in options.keys() - set(drawn):
        index_M = np.floor(cells.unit_MD[:, cells.coordinates.names.index(name)] * len(options[name])).astype(int)
        fixed[name] = options[name][int(np.bincount(index_M, weights=diagram.p_region).argmax())]
    in_order = [name for name in options if name in drawn]
    combinations = itertools.product(*(options[name] for name in in_order))
    return tuple(dict(zip(in_order, values, strict=True)) for values in combinations), fixed
