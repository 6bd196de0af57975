"""R, the gradient ratio: by how many decades the gradient grows on its way to the first layer, before training.

R = log10(||delta_1|| / ||delta_L||), where delta_l is the gradient of the loss with respect to the pre-activations of
hidden layer l. Positive R is an exploding gradient, negative R a vanishing one.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from gradstab.study.responses.response import FloatArray, Limits, Response, Training

RATIO_LIMIT = 37.0  # decades to which R is clamped: about the range of float32

Flag = Literal["", "underflow", "overflow"]


def gradient_ratio(log10_delta_norm_L: FloatArray) -> tuple[float, Flag]:
    """R of one probe in decades, clamped to [-37, 37], and the flag of the clamp.

    A gradient that is not finite at some layer counts as overflow (+37), one that is exactly zero at the first layer
    as underflow (-37).
    """
    first, last = float(log10_delta_norm_L[0]), float(log10_delta_norm_L[-1])
    if np.isnan(log10_delta_norm_L).any() or np.isposinf(log10_delta_norm_L).any():
        return RATIO_LIMIT, "overflow"
    if math.isinf(first):
        return -RATIO_LIMIT, "underflow"
    if math.isinf(last):
        return RATIO_LIMIT, "overflow"
    ratio = first - last
    if ratio < -RATIO_LIMIT:
        return -RATIO_LIMIT, "underflow"
    if ratio > RATIO_LIMIT:
        return RATIO_LIMIT, "overflow"
    return ratio, ""


def gradient_ratios(training: Training) -> FloatArray:
    """R at every probe time (shape P); NaN where nothing was measured."""
    rows_PL = training["log10_delta_norm"]
    return np.where(np.isnan(rows_PL).all(axis=1), math.nan, clamped_ratios(rows_PL))


def clamped_ratios(log10_delta_norm_PL: FloatArray) -> FloatArray:
    """What `gradient_ratio` gives for each row, without its flag (shape P)."""
    first_P, last_P = log10_delta_norm_PL[:, 0].astype(np.float64), log10_delta_norm_PL[:, -1].astype(np.float64)
    with np.errstate(invalid="ignore"):
        ratio_P = np.clip(first_P - last_P, -RATIO_LIMIT, RATIO_LIMIT)
    ratio_P[np.isinf(last_P)] = RATIO_LIMIT
    ratio_P[np.isinf(first_P)] = -RATIO_LIMIT
    ratio_P[(np.isnan(log10_delta_norm_PL) | np.isposinf(log10_delta_norm_PL)).any(axis=1)] = RATIO_LIMIT
    return ratio_P


def ratio_band(limits: Limits) -> tuple[float, float]:
    """The band of a gradient ratio: [-R0, R0]."""
    return -limits.ratio_band, limits.ratio_band


def decades(limits: Limits) -> str:
    """R0 with its unit: "1 decade", "0.5 decades"."""
    return f"{limits.ratio_band:g} decade{'s' if limits.ratio_band != 1 else ''}"


RESPONSE = Response(
    letter="R",
    name="gradient_ratio",
    unit_name="decades",
    title="R, the gradient ratio at initialisation",
    meaning="the gradient ratio before training: log10 of the gradient norm at layer 1 over that at the last layer",
    where="gradients keep their size at the start",
    statistics=("log10_delta_norm",),
    read=lambda training, _: gradient_ratio(training["log10_delta_norm"][0])[0],
    band=ratio_band,
    unit=lambda limits: limits.ratio_band,
    formula=lambda limits: f"|R| < {decades(limits)}",
    sentence=lambda limits: f"the gradient ratio R is at most {decades(limits)} from 0 before training",
    low_side="vanishing",
    high_side="exploding",
    by_default=True,
)
