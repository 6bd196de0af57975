"""Findings in words: numbers, intervals and sentences as the page and the terminal say them."""

from __future__ import annotations

from collections.abc import Mapping

from gradstab.display.numbers import shown
from gradstab.report.findings import Findings
from gradstab.report.interval_table import Predicted
from gradstab.report.trainable_depth import DepthScales
from gradstab.responses.registry import RESPONSES
from gradstab.stability.region import Extent, Region, Volume
from gradstab.stability.spans import Span
from gradstab.study.criterion import Criterion
from gradstab.study.space import Value
from gradstab.theory.forecast import TRAINABLE_DEPTH_SCALES


def percent(fraction: float) -> str:
    """A fraction in per cent, with as many digits as it deserves."""
    per_cent = 100 * fraction
    if per_cent == 0 or per_cent >= 10:
        return f"{per_cent:.0f} %"
    return f"{per_cent:.1f} %" if per_cent >= 0.1 else "< .1 %"


def volume(found: Volume) -> str:
    """A volume and its 90 % interval."""
    return f"{percent(found.estimate)} ({percent(found.low)} to {percent(found.high)})"


def where(point: Mapping[str, Value]) -> str:
    """Values by axis: `depth 10, activation relu`."""
    return ", ".join(f"{name.replace('_', ' ')} {shown(value)}" for name, value in point.items())


def band(criterion: Criterion, response: str) -> str:
    """The band of a response in a formula."""
    return RESPONSES[response].formula(criterion)


def spans(found: tuple[Span, ...]) -> str:
    """Spans of an axis: `1.10 to 1.32`; an end that the search reached is called open."""
    if not found:
        return "none"
    return "; ".join(_span(span) for span in found)


def _span(span: Span) -> str:
    if span.low_open and span.high_open:
        return "all that was searched"
    if span.low_open:
        return f"up to {shown(span.high)}"
    if span.high_open:
        return f"from {shown(span.low)}"
    return f"{shown(span.low)} to {shown(span.high)}"


def edges(span: Span) -> str:
    """Where each edge lies with probability .9: `1.08\u20131.12, 1.24\u20131.37`."""
    parts = []
    for between in (span.low_between, span.high_between):
        if between is None:
            parts.append("open")
            continue
        ends = sorted((end for end in between if isinstance(end, int | float)), key=float)
        parts.append("\N{EN DASH}".join(shown(end) for end in ends) if len(ends) == 2 else "unsure")
    return ", ".join(parts)


def predicted(theory: Predicted | None) -> str:
    """What theory gives along a line."""
    if theory is None:
        return ""
    if not theory.found:
        return "none"
    if theory.low is None and theory.high is None:
        return "all that was searched"
    if theory.low is None:
        return f"up to {shown(theory.high)}"
    return f"from {shown(theory.low)}" if theory.high is None else f"{shown(theory.low)} to {shown(theory.high)}"


def extent(found: Extent) -> str:
    """How far a region reaches along an axis."""
    low = f"{shown(found.low)}{' (open)' if found.low_open else ''}"
    return f"{low} to {shown(found.high)}{' (open)' if found.high_open else ''}"


def reach(region: Region) -> str:
    """A region's choices and extents."""
    parts = [where(region.choices)] if region.choices else []
    parts += [f"{name.replace('_', ' ')} {extent(found)}" for name, found in region.extent.items()]
    return ", ".join(parts)


def answer(findings: Findings) -> list[str]:
    """The answer of a study in a few sentences."""
    results, found = findings.results, findings.main.regions
    num = len(results.measured.numbers)
    num_in = sum(row.judgement is not None and row.judgement.margin > 0 for row in results.rows)
    judged = " and ".join(band(results.criterion, name) for name in findings.main.responses)
    sentences = [
        f"{num} trainings were measured; {num_in} of them had {judged}. The region in which the median over seeds does "
        f"takes {percent(found.volume.estimate)} of the search space (90 % interval {percent(found.volume.low)} to "
        f"{percent(found.volume.high)}); in {percent(found.core_volume)} of the space one new training does with a "
        "probability above .95."
    ]
    if found.parts:
        count = len(found.parts)
        largest = found.parts[0]
        sentences.append(
            f"It is {'one piece' if count == 1 else f'{count} pieces'}; "
            f"{'it' if count == 1 else 'the largest'} reaches over {reach(largest)}."
        )
    else:
        sentences.append("No part of the space is more likely inside than outside.")
    ranked = sorted(findings.contributions, key=lambda each: -each.of_region)
    shares = [f"{each.axis.replace('_', ' ')} ({percent(each.of_region)})" for each in ranked if each.of_region >= 0.01]
    if shares:
        sentences.append(f"What decides, as total shares of the variance: {', '.join(shares)}.")
    sentences.append(against_theory(findings))
    if findings.theory.depth is not None:
        sentences.append(against_depth_scales(findings.theory.depth))
    return sentences


def against_depth_scales(found: DepthScales) -> str:
    """How deep networks train beside what theory says."""
    return (
        f"Along {found.num_lines} lines of one init scale each the median network trains as deep as "
        f"{found.median:.2g} depth scales xi_c ({found.least:.2g} to {found.most:.2g}), where theory says about "
        f"{TRAINABLE_DEPTH_SCALES}."
    )


def against_theory(findings: Findings) -> str:
    """How far theory is off, in numbers."""
    theory = findings.theory
    text = (
        f"Mean-field theory of R, which was fitted to nothing here, and the measured R disagree about "
        f"{percent(theory.volume)} of the space (of which want of trials explains about {percent(theory.uncertain)})"
    )
    if theory.edges is None:
        return text + "."
    return text + (
        f"; the {theory.edges.num_edges} edges of the band that both have differ by {percent(theory.edges.median)} "
        f"in the median and {percent(theory.edges.worst)} at worst."
    )
