"""Depth profiles: the gradient at each hidden layer relative to the last one's, by verdict, at initialisation.

Axes: N trials, X positions from the first hidden layer (0) to the last (1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gradstab.display.verdict_styles import STYLES
from gradstab.regression.coordinates import Array
from gradstab.responses.library.gradient_ratio import RATIO_LIMIT
from gradstab.results.results import Results
from gradstab.study.criterion import VERDICTS

_POSITIONS = 41
_QUANTILES = (0.1, 0.5, 0.9)
_SHOWN = 12.0  # decades drawn at most: beyond it only the direction counts
_LEAST_DEPTH = 2


@dataclass(frozen=True)
class Profile:
    """The gradients of the trials of one verdict.

    Attributes:
        group: value of the activation axis, "" where the study has none.
        quantile_3X: 10 %, 50 % and 90 % over trials, decades above the last hidden layer.
    """

    group: str
    verdict: str
    num_trials: int
    quantile_3X: Array


def profiles(results: Results) -> list[Profile]:
    """The profile of every verdict, for each activation apart; trials of one hidden layer have none."""
    position_X = np.linspace(0, 1, _POSITIONS)
    groups: dict[tuple[str, str], list[Array]] = {}
    for row in results.rows:
        profile_L = row.profile_L
        if profile_L is None or len(profile_L) < _LEAST_DEPTH:
            continue
        with np.errstate(invalid="ignore"):  # infinity less infinity: not known, shown as overflow
            relative_L = profile_L - profile_L[-1]
        relative_L = np.nan_to_num(relative_L, nan=RATIO_LIMIT, posinf=RATIO_LIMIT, neginf=-RATIO_LIMIT)
        key = str(row.point.get("activation", "")), str(row.values["verdict"])
        groups.setdefault(key, []).append(
            np.interp(position_X, np.linspace(0, 1, len(relative_L)), np.clip(relative_L, -RATIO_LIMIT, RATIO_LIMIT))
        )
    return [
        Profile(group, verdict, len(curves_NX), np.quantile(curves_NX, _QUANTILES, axis=0))
        for (group, verdict), curves_NX in sorted(groups.items(), key=lambda item: VERDICTS.index(item[0][1]))
    ]


def profile_figure(found: Sequence[Profile], ratio_band: float) -> bytes:
    """The profiles as a PNG, one panel an activation."""
    groups = list(dict.fromkeys(profile.group for profile in found))
    columns = min(4, len(groups))
    rows = -(-len(groups) // columns)
    figure = Figure(figsize=(max(5.2, 1.0 + 3.5 * columns), 0.9 + 3.0 * rows), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    reach = max(ratio_band, *(float(np.abs(profile.quantile_3X).max()) for profile in found))
    reach = min(1.05 * reach, _SHOWN)
    position_X = np.linspace(0, 1, _POSITIONS)
    handles = {}
    for axes, group in zip(grid.flat, groups, strict=False):
        axes.axhspan(-ratio_band, ratio_band, color="#E4F4EC", zorder=0)
        for profile in (profile for profile in found if profile.group == group):
            colour, marker = STYLES[profile.verdict]
            low_X, middle_X, high_X = profile.quantile_3X
            axes.fill_between(position_X, low_X, high_X, color=colour, alpha=0.15, linewidth=0)
            (handles[profile.verdict],) = axes.plot(
                position_X, middle_X, color=colour, marker=marker, markevery=8, markersize=5, linewidth=1.5,
                label=profile.verdict.replace("_", " "),
            )  # fmt: skip
        axes.set_ylim(-reach, reach)
        axes.set_xlim(0, 1)
        axes.set_title(group, fontsize=9.5)
        axes.tick_params(labelsize=8.5)
    for axes in grid.flat[len(groups) :]:
        axes.axis("off")
    for axes in grid[-1]:
        axes.set_xticks([0, 0.5, 1], ["first", "middle", "last"])
        axes.set_xlabel("hidden layer", fontsize=10)
    figure.supylabel("decades above the last layer", fontsize=10)
    figure.legend(
        handles=list(handles.values()),
        loc="outside lower center",
        ncols=max(3, int(figure.get_figwidth() / 1.4)),
        frameon=False,
        fontsize=8,
    )
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "gradstab"})
    return buffer.getvalue()
