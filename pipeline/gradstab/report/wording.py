"""Findings in words: intervals and sentences, the same on the page and in the terminal."""

from __future__ import annotations

from gradstab.display.criterion import bands_text
from gradstab.display.numbers import (
    counted,
    interval_text,
    name_text,
    percent_range_text,
    percent_text,
    point_text,
    value_text,
)
from gradstab.record.certificate import Certificate
from gradstab.report.findings import Findings
from gradstab.report.interval_table import Predicted
from gradstab.report.trainable_depth import DepthScales
from gradstab.results.rejudge import criterion_changes
from gradstab.results.results import Results
from gradstab.results.trial_rows import measured_trials
from gradstab.stability.region import Extent, Region, Volume
from gradstab.theory.forecast import TRAINABLE_DEPTH_SCALES

NOT_CHECKED = "not certified: the stop condition of the study was not checked yet."
OTHER_CRITERION = "not certified: a certificate counts for the study's own criterion, and this report has another."


def volume_text(found: Volume) -> str:
    """A volume and its 90 % interval."""
    return percent_range_text(found.estimate, found.low, found.high)


def predicted_text(theory: Predicted | None) -> str:
    """The stable interval that theory gives along a line; nothing where it gives none."""
    if theory is None:
        return ""
    if not theory.found:
        return "none"
    return interval_text(theory.low, theory.high, low_open=theory.low is None, high_open=theory.high is None)


def extent_text(found: Extent) -> str:
    """How far a region reaches along an axis."""
    low = f"{value_text(found.low)}{' (open)' if found.low_open else ''}"
    return f"{low} to {value_text(found.high)}{' (open)' if found.high_open else ''}"


def reach_text(region: Region) -> str:
    """A region's choices and extents."""
    parts = [point_text(region.choices)] if region.choices else []
    parts += [f"{name_text(name)} {extent_text(found)}" for name, found in region.extent.items()]
    return ", ".join(parts)


def certificate_text(results: Results, certificate: Certificate | None) -> str | None:
    """Whether the region is certified, and which condition failed; None where the study asked for no certificate."""
    if certificate is None:
        if results.study.stop is None:
            return None
        return NOT_CHECKED if results.criterion == results.study.criterion else OTHER_CRITERION
    if certificate.certified:
        return f"certified: at most {percent_text(certificate.error)} of the space is misclassified."
    failed = [f"{condition.name}: {condition.sentence}" for condition in certificate.conditions if not condition.holds]
    return f"not certified. {' '.join(failed)}"


def criterion_options(results: Results) -> str:
    """What must be typed behind a command for this criterion; nothing where it is the study's own."""
    return "".join(f" --criterion {item}" for item in criterion_changes(results.study.criterion, results.criterion))


def answer_sentences(findings: Findings) -> list[str]:
    """The answer of a study in a few sentences."""
    results, found = findings.results, findings.main.regions
    num = len(results.measured.numbers)
    num_in = sum(trial.judgement.margin > 0 for _, trial in measured_trials(results.rows))
    judged = bands_text(results.criterion, findings.main.responses, results.study.model)
    were = "1 training was" if num == 1 else f"{num} trainings were"
    sentences = [
        f"{were} measured; {num_in} of them had {judged}. The region, in which the median over seeds has that, takes "
        f"{percent_text(found.volume.estimate)} of the search space (90 % interval {percent_text(found.volume.low)} to "
        f"{percent_text(found.volume.high)}); {percent_text(found.core_volume)} of the space is safe for one training."
    ]
    if found.parts:
        largest = found.parts[0]
        pieces = "It is one piece. It" if len(found.parts) == 1 else f"It is {len(found.parts)} pieces. The largest"
        sentences.append(f"{pieces} lies within {reach_text(largest)}, and need not fill these ranges.")
    else:
        sentences.append("No part of the space is more likely inside than outside.")
    ranked = sorted(findings.contributions, key=lambda each: -each.of_region)
    shares = [f"{name_text(each.axis)} {percent_text(each.of_region)}" for each in ranked if each.of_region >= 0.01]
    if shares:
        sentences.append(
            f"What decides, as total shares of the variance: {', '.join(shares)}. Axes that work together make the sum "
            "exceed 100 %."
        )
    sentences.append(theory_sentence(findings))
    if findings.theory.depth is not None:
        sentences.append(depth_scales_sentence(findings.theory.depth))
    return sentences


def depth_scales_sentence(found: DepthScales) -> str:
    """How deep networks train, beside what theory says."""
    return (
        f"Along {found.num_lines} lines of one init scale each the median network trains as deep as "
        f"{found.median:.2g} depth scales xi_c ({found.least:.2g} to {found.most:.2g}), where theory says about "
        f"{TRAINABLE_DEPTH_SCALES}."
    )


def theory_sentence(findings: Findings) -> str:
    """How far theory and measurements differ, in numbers."""
    theory = findings.theory
    if findings.results.study.model is not None:
        return "Theory is not drawn here: it is that of fully connected networks, and this study trains modules."
    if theory.volume is None:
        return "Theory is not drawn here: the activations are functions of the user, which a report does not import."
    text = (
        f"Mean-field theory, which was fitted to nothing here, and the measured R disagree about "
        f"{percent_text(theory.volume)} of the space; that there are too few trials explains about "
        f"{percent_text(theory.uncertain)}."
    )
    if theory.edges is None:
        return text
    return text + (
        f" {counted(theory.edges.num_edges, 'end')} of intervals that both have differ by "
        f"{percent_text(theory.edges.median)} in the median and {percent_text(theory.edges.worst)} at worst."
    )
