"""A criterion in words."""

from __future__ import annotations

from collections.abc import Iterable

from gradstab.study.criterion import Criterion
from gradstab.study.responses.registry import RESPONSES


def band_text(criterion: Criterion, response: str) -> str:
    """The band of a response as a formula."""
    return RESPONSES[response].formula(criterion)


def bands_text(criterion: Criterion, responses: Iterable[str]) -> str:
    """The bands of several responses, all of which must hold."""
    return " and ".join(band_text(criterion, name) for name in responses)
