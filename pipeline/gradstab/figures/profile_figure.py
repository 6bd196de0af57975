"""Depth profiles: the gradient at each hidden layer relative to the last one's, by verdict, at initialisation.

Axes: N trials, L hidden layers, X positions from the first hidden layer (0) to the last (1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradstab.display.colours import AREAS, MARKS
from gradstab.display.verdicts import verdict_text
from gradstab.figures.axis_scales import spread
from gradstab.figures.scaffold import Shape, name_panel, panel_grid
from gradstab.record.trajectory import FloatArray
from gradstab.regression.coordinates import Array
from gradstab.stability.depth_profile import LEAST_DEPTH, at_fractions, relative_gradients
from gradstab.study.criterion import VERDICTS, Verdict

_POSITIONS = 41
_QUANTILES = (0.1, 0.5, 0.9)
_MOST_DECADES = 12.0  # drawn: beyond them only the direction counts
_MOST_COLUMNS = 4
_MOST_NAMES, _LONGEST_NAME = 7, 20


@dataclass(frozen=True)
class TrialProfile:
    """The gradients of one trial.

    Attributes:
        group: its activation, "" where all trials have the same.
        log10_delta_norm_L: gradient norm at initialisation, decades.
    """

    group: str
    verdict: Verdict
    log10_delta_norm_L: FloatArray


@dataclass(frozen=True)
class Profile:
    """The gradients of the trials of one verdict.

    Attributes:
        quantile_3X: 10 %, 50 % and 90 % over trials, decades above the last hidden layer.
    """

    group: str
    verdict: Verdict
    num_trials: int
    quantile_3X: Array


def profiles(trials: Iterable[TrialProfile]) -> list[Profile]:
    """The profile of every verdict, for each group apart; trials of one hidden layer have none."""
    position_X = np.linspace(0, 1, _POSITIONS)
    groups: dict[tuple[str, Verdict], list[Array]] = {}
    for trial in trials:
        if len(trial.log10_delta_norm_L) < LEAST_DEPTH:
            continue
        curve_X = at_fractions(relative_gradients(trial.log10_delta_norm_L), position_X)
        groups.setdefault((trial.group, trial.verdict), []).append(curve_X)
    return [
        Profile(group, verdict, len(curves_NX), np.quantile(curves_NX, _QUANTILES, axis=0))
        for (group, verdict), curves_NX in sorted(groups.items(), key=lambda item: VERDICTS.index(item[0][1]))
    ]


def profile_figure(
    found: Sequence[Profile],
    ratio_band: float,
    title: str = "",
    ax: Axes | None = None,
    place: str = "hidden layer",
    taps: Sequence[str] = (),
    shape: Shape = "page",
) -> Figure:
    """The profiles, one panel for each group, or the user's axes with the one panel.

    Args:
        place: what the gradients are compared at.
        taps: names of the places in the deepest network, which then stand along the axis.

    Raises:
        UsageError: several panels do not fit into `ax`.
    """
    groups = list(dict.fromkeys(profile.group for profile in found))
    grid = panel_grid(len(groups), 1 if shape == "narrow" else _MOST_COLUMNS, ax, margin=(1.0, 1.0))
    reach = max(ratio_band, *(float(np.abs(profile.quantile_3X).max()) for profile in found))
    for axes, group in zip(grid.panels, groups, strict=True):
        axes.axhspan(-ratio_band, ratio_band, color=AREAS["stable"], zorder=0)
        for profile in found:
            if profile.group == group:
                _draw(axes, profile)
        axes.set_ylim(-min(1.05 * reach, _MOST_DECADES), min(1.05 * reach, _MOST_DECADES))
        axes.set_xlim(0, 1)
        _name_places(axes, taps)
        name_panel(axes, group)
    legend = [verdict_text(verdict) for verdict in VERDICTS]
    return grid.finish(title, place, f"decades above the last {'tap' if taps else 'layer'}", legend)


def _name_places(axes: Axes, taps: Sequence[str]) -> None:
    if len(taps) < LEAST_DEPTH:
        axes.set_xticks([0, 0.5, 1], ["first", "middle", "last"])
        return
    named = np.array(spread(len(taps), _MOST_NAMES))
    names = [
        taps[place] if len(taps[place]) <= _LONGEST_NAME else f"…{taps[place][1 - _LONGEST_NAME :]}" for place in named
    ]
    axes.set_xticks(named / (len(taps) - 1), names, rotation=30, ha="right", rotation_mode="anchor", parse_math=False)


def _draw(axes: Axes, profile: Profile) -> None:
    colour, marker = MARKS[profile.verdict]
    position_X = np.linspace(0, 1, _POSITIONS)
    low_X, middle_X, high_X = profile.quantile_3X
    axes.fill_between(position_X, low_X, high_X, color=colour, alpha=0.15, linewidth=0)
    axes.plot(
        position_X, middle_X, color=colour, marker=marker, markevery=8, markersize=5, linewidth=1.5,
        label=verdict_text(profile.verdict),
    )  # fmt: skip
