"""A criterion in words: of modules, with the target that the study gives."""

from __future__ import annotations

import pytest

from gradstab.display.criterion import band_text, bands_text
from gradstab.study.criterion import Criterion
from gradstab.study.model_spec import Model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (None, "T < 0 (tail loss below 0.4 of the label entropy)"),
        (Model("residual"), "T < 0 (tail loss below 0.4 of the loss of the best constant prediction)"),
        (Model("residual", target_loss=1.25), "T < 0 (tail loss below 1.25)"),
    ],
)
def test_the_training_response_names_what_it_is_compared_with(model, words):
    criterion = Criterion(target_fraction=0.4)
    assert band_text(criterion, "T", model) == words
    assert bands_text(criterion, ("R", "T"), model) == f"|R| < 1 decade and {words}"
