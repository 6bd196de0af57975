"""T, the training response: how far the loss at the end is from the loss that counts as trained."""

from __future__ import annotations

import math

import numpy as np

from gradstab.study.responses.response import Limits, Response, Training

TAIL_STEPS = 20
TRAINING_RESPONSE_RANGE = (-3.0, 2.0)
TRAINING_RESPONSE_UNIT = 0.3


def nonfinite_step(training: Training) -> int | None:
    """The first step at which something was not finite: the recorded one, or the first in losses and gradient norms."""
    if training.nonfinite_step is not None or training.steps == 0:
        return training.nonfinite_step
    finite_S = np.isfinite(training["loss"]) & np.isfinite(training["grad_norm"])
    return None if finite_S.all() else int(np.argmin(finite_S))


def tail_loss(training: Training) -> float | None:
    """Mean of the last min(20, steps) training losses; None where nothing was trained, NaN after a non-finite step."""
    if training.steps == 0:
        return None
    if nonfinite_step(training) is not None:
        return math.nan
    tail_S = training["loss"][-TAIL_STEPS:]
    return float(np.sum(tail_S / len(tail_S)))  # the sum alone may overflow


def training_response(training: Training, limits: Limits) -> float | None:
    """T = log10(tail loss / target) within [-3, 2]; a divergence at step s of S gives 2 + (1 - s/S)."""
    low, high = TRAINING_RESPONSE_RANGE
    tail = tail_loss(training)
    if tail is None:
        return None
    step = nonfinite_step(training)
    if step is not None:
        return high + 1.0 - step / training.steps
    target = training.target_loss or limits.target_fraction * training.reference_loss
    if not target > 0:  # labels of one class: there is nothing to learn
        return high
    fraction = tail / target
    return min(high, max(low, math.log10(fraction))) if fraction > 0 else low


RESPONSE = Response(
    letter="T",
    name="training_response",
    unit_name="decades",
    title="T, the training response",
    meaning="the training response: log10 of tail loss over target loss; below 0 the network trained",
    where="training works",
    statistics=("loss", "grad_norm"),
    read=training_response,
    band=lambda _: (-math.inf, 0.0),
    unit=lambda _: TRAINING_RESPONSE_UNIT,
    formula=lambda limits: f"T < 0 (tail loss below {limits.target_fraction:g} of the label entropy)",
    sentence=lambda limits: (
        f"the loss of the last {TAIL_STEPS} steps is below {limits.target_fraction:g} times the entropy of the labels"
    ),
    high_side="untrained",
    colour="#CC79A7",
    diverged_from=TRAINING_RESPONSE_RANGE[1],
    needs_training=True,
    by_default=True,
)
