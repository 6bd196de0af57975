"""R_worst: the gradient ratio that is farthest from 0 along the whole training."""

from __future__ import annotations

import numpy as np

from gradstab.study.responses.library.gradient_ratio import clamped_ratios, decades, ratio_band
from gradstab.study.responses.response import Limits, Response, Training


def worst_gradient_ratio(training: Training, limits: Limits | None = None) -> float:
    """The R of all probe times that is farthest from 0, the earliest of equals, signed.

    After a training became non-finite there are no gradients any more, which counts as overflow (+37).
    """
    del limits
    ratio_P = clamped_ratios(training["log10_delta_norm"])
    return float(ratio_P[np.argmax(np.abs(ratio_P))])


RESPONSE = Response(
    letter="R_worst",
    name="worst_gradient_ratio",
    unit_name="decades",
    title="R_worst, the worst gradient ratio along training",
    meaning="the gradient ratio farthest from 0 at any probe of the training",
    where="gradients keep their size all along",
    statistics=("log10_delta_norm",),
    read=worst_gradient_ratio,
    band=ratio_band,
    unit=lambda limits: limits.ratio_band,
    formula=lambda limits: f"|R_worst| < {decades(limits)}",
    sentence=lambda limits: f"the worst gradient ratio R_worst along training is at most {decades(limits)} from 0",
    low_side="vanishing",
    high_side="exploding",
)
