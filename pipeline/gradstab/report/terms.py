"""The words of a report's page, each with a definition of one line; a page defines those that it uses."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gradstab.display.criterion import band_text
from gradstab.display.numbers import name_text, percent_text
from gradstab.display.verdicts import verdict_text
from gradstab.report.findings import Findings
from gradstab.results.trial_rows import meanings_of
from gradstab.stability.region import SAFE
from gradstab.study.recipe import Recipe
from gradstab.study.responses.registry import RESPONSES
from gradstab.theory.forecast import TRAINABLE_DEPTH_SCALES

Term = tuple[str, str]

# in the order in which a reader meets them
_WORDS: tuple[Term, ...] = (
    ("safe", f"one new training succeeds with a probability above {percent_text(SAFE)} (p_next > .95)."),
    ("stable", "all judged responses lie in their bands."),
    ("median over seeds", "half of the trainings at a point, which differ in their random seeds, do better than it."),
    ("p_next", "the probability that one new training at a point is stable."),
    ("region", "all points at which the median over seeds is more probably stable than not."),
    ("safe core", "the part of the region that is safe."),
    ("piece", "a connected part of the region."),
    ("volume", "a fraction of what was searched; axes that are searched in log count in log."),
    ("misclassified", "the volume that is expected on the wrong side of the boundary, since trials are few."),
    ("band", "the interval in which a response must lie."),
    ("decade", "a factor of 10."),
    ("open", "the region reaches the end of what was searched."),
    ("unsure", "the trials do not show where this end lies with probability .9."),
    ("up to", "the region begins where the search did."),
    ("theory", "the mean-field theory of infinitely wide networks at initialisation; nothing in it was fitted."),
    (
        "xi_c",
        "the depth scale: layers in which two inputs become alike by a factor e; theory says that networks up to about "
        f"{TRAINABLE_DEPTH_SCALES} of it deep train.",
    ),
    ("total share", "the part of the variance that would be gone if the axis were known; they can exceed 100 %."),
    ("length-scale", "the distance on an axis over which a response changes much, as a fraction of its range."),
    ("noise", "the spread of a response between trainings of one point with different seeds."),
    ("90 % interval", "an interval that holds the truth with probability .9."),
    ("log score", "mean log probability that forecasts gave to what happened; nearer 0 is better."),
    ("base rate", "the fraction of stable trials, as a forecast that knows nothing else."),
    ("certified", "shown by forecasts that were made before their trials ran to be known within the error asked for."),
)  # fmt: skip


def used_terms(findings: Findings, texts: Sequence[str]) -> list[Term]:
    """The terms that stand in the texts of a page, with those of the study: responses, axes and verdicts."""
    text = " ".join(texts).lower()
    results = findings.results
    responses = [
        (letter, f"{RESPONSES[letter].meaning}. In band: {band_text(results.criterion, letter, results.study.model)}.")
        for letter in results.measured.responses
    ]
    axes = [
        (name_text(name), f"{Recipe.model_fields[name].description}.")
        for name in results.study.space.names()
        if name in Recipe.model_fields and Recipe.model_fields[name].description
    ]
    meanings = meanings_of(results.rows)
    verdicts = [(verdict_text(name), f"{meanings[name]}.") for name in results.verdicts() if name in meanings]
    words = [term for term in _WORDS if _stands_in(term[0], text)]
    known: dict[str, str] = {}
    for term, meaning in (*words, *responses, *axes, *verdicts):
        known.setdefault(term, meaning)  # stable is a verdict too
    return list(known.items())


def _stands_in(term: str, text: str) -> bool:
    """Whether a word stands in a text, alone or in its plural."""
    return re.search(rf"(?<![a-z_]){re.escape(term)}s?(?![a-z_])", text) is not None
