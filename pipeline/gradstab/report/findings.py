"""Everything a report says, computed once: the page, the pictures and region.json are made from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradstab.figures.layout import PanelLayout
from gradstab.regression.health import Health, check_health
from gradstab.report.interval_table import EdgeErrors, IntervalRow, edge_errors, interval_table
from gradstab.report.trainable_depth import DepthScales, depth_scales
from gradstab.results.answer import answer_lines
from gradstab.results.results import Results
from gradstab.stability.contributions import Contribution
from gradstab.stability.phase_diagram import Cloud
from gradstab.stability.region import Regions
from gradstab.study.responses.registry import default_letters
from gradstab.theory.ratio_field import predicted_field
from gradstab.theory.relative_scale import resolved_recipe

_CELLS_OF_THEORY = 1024


@dataclass(frozen=True)
class Judged:
    """The region under some responses."""

    responses: tuple[str, ...]
    regions: Regions

    @property
    def name(self) -> str:
        """Its name in words: R, T, R and T."""
        return " and ".join(self.responses)


@dataclass(frozen=True)
class AgainstTheory:
    """Where measured R and mean-field theory differ.

    Attributes:
        volume: fraction of the search space where one has |R| < R0 and the other does not, of the part that theory
            covers; None where it covers none.
        uncertain: fraction of the space that is expected on the wrong side because there are too few trials.
        edges: errors of the edges along the init scale; None where none can be compared.
        depth: how many depth scales deep networks train; None where none can be compared.
    """

    volume: float | None
    uncertain: float
    edges: EdgeErrors | None
    depth: DepthScales | None


@dataclass(frozen=True)
class Findings:
    """What a study found.

    Attributes:
        judged: the region under the criterion, then under each response alone and under R and T together.
        layout: how the space is cut; None where no axis is numeric.
        rows: the table of intervals.
        answer: the answer in plain sentences: what safe means, then one for each choice.
        recommended: what to set, in the sentences of `gradstab recommend`.
    """

    results: Results
    judged: tuple[Judged, ...]
    contributions: tuple[Contribution, ...]
    layout: PanelLayout | None
    rows: tuple[IntervalRow, ...]
    theory: AgainstTheory
    health: tuple[Health, ...]
    answer: tuple[str, ...]
    recommended: tuple[str, ...]

    @property
    def main(self) -> Judged:
        """The region under the study's criterion."""
        return self.judged[0]


def study_findings(results: Results) -> Findings:
    """All findings of a study.

    Raises:
        UsageError: no trial was judged yet.
    """
    measured = results.measured
    names = tuple(band.name for band in measured.bands)
    both = tuple(name for name in default_letters(trained=results.study.least_steps > 0) if name in names)
    wanted = dict.fromkeys([results.judged_by, *((name,) for name in names), both])
    judged = tuple(Judged(responses, results.regions(*responses)) for responses in wanted)
    layout = results.layout
    rows = tuple(interval_table(results, layout)) if layout is not None else ()
    unit_ND = results.every_estimator.coordinates.unit(measured.points)
    return Findings(
        results=results,
        judged=judged,
        contributions=results.contributions,
        layout=layout,
        rows=rows,
        theory=_against_theory(results, rows, layout),
        health=tuple(
            check_health(surrogate, unit_ND, measured.responses[surrogate.band.name])
            for surrogate in results.every_estimator.surrogates
        ),
        answer=tuple(answer_lines(results)),
        recommended=results.recommend().sentences,
    )


def _against_theory(results: Results, rows: tuple[IntervalRow, ...], layout: PanelLayout | None) -> AgainstTheory:
    diagram = results.phase_diagram("R")
    assert isinstance(diagram.cells, Cloud)
    cell_MD = diagram.cells.unit_MD[:_CELLS_OF_THEORY]  # a prefix of a cloud is a cloud
    recipes = [resolved_recipe(results.study, point) for point in diagram.cells.coordinates.points(cell_MD)]
    ratio_M = predicted_field(recipes)
    known_M = ~np.isnan(ratio_M)
    differ_M = (np.abs(ratio_M) < results.criterion.ratio_band) != (diagram.p_region[:_CELLS_OF_THEORY] >= 0.5)
    return AgainstTheory(
        volume=float(differ_M[known_M].mean()) if known_M.any() else None,
        uncertain=diagram.misclassified_volume,
        edges=edge_errors(list(rows)),
        depth=None if layout is None else depth_scales(results, layout),
    )
