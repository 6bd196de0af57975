"""A criterion in words."""

from __future__ import annotations

from collections.abc import Iterable

from gradstab.study.criterion import Criterion
from gradstab.study.model_spec import ModelSpec
from gradstab.study.responses.registry import RESPONSES


def band_text(criterion: Criterion, response: str, model: ModelSpec | None = None) -> str:
    """The band of a response as a formula; `model` is that of a study of modules, which may give its own target."""
    if response == "T" and model is not None:
        if model.target_loss is not None:
            return f"T < 0 (tail loss below {model.target_loss:g})"
        return f"T < 0 (tail loss below {criterion.target_fraction:g} of the loss of the best constant prediction)"
    return RESPONSES[response].formula(criterion)


def where_text(responses: Iterable[str]) -> str:
    """What holds where all of them are in their bands: `gradients keep their size at the start and training works`."""
    return " and ".join(RESPONSES[name].where for name in responses)


def bands_text(criterion: Criterion, responses: Iterable[str], model: ModelSpec | None = None) -> str:
    """The bands of several responses, all of which must hold."""
    return " and ".join(band_text(criterion, name, model) for name in responses)
