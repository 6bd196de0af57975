"""A criterion in words."""

from __future__ import annotations

from collections.abc import Iterable

from gradstab.study.criterion import Criterion


def band_text(criterion: Criterion, response: str) -> str:
    """The band of a response as a formula."""
    if response == "T":
        return f"T < 0 (tail loss below {criterion.target_fraction:g} of the label entropy)"
    return f"|{response}| < {criterion.ratio_band:g} decade{'s' if criterion.ratio_band != 1 else ''}"


def bands_text(criterion: Criterion, responses: Iterable[str]) -> str:
    """The bands of several responses, all of which must hold."""
    return " and ".join(band_text(criterion, name) for name in responses)
