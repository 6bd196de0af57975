"""Judging a trajectory: phase, outcome, verdict, responses and margin, as pure functions of raw numbers.

Definitions are those of SCIENCE section 4. Every comparison is written so that NaN lands on the unstable side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradstab.record.trajectory import FloatArray, Trajectory
from gradstab.study.criterion import (
    RATIO_LIMIT,
    TRAINING_RESPONSE_RANGE,
    TRAINING_RESPONSE_UNIT,
    Criterion,
    Outcome,
    Phase,
    Response,
    Verdict,
)

DIVERGENCE_FACTOR = 10.0
UNTRAINED_FRACTION = 0.95
TAIL_STEPS = 20
MIN_DEPTH_OF_RATE = 4


@dataclass(frozen=True)
class Judgement:
    """What a trajectory means under a criterion.

    Attributes:
        gradient_ratio: R at initialisation, decades, within [-37, 37].
        worst_ratio: the R of all probe times that is farthest from 0, signed.
        rate: lambda, half the slope of ln G over the last half of the hidden layers, per layer toward the input;
            None below depth 4 or where gradients are not finite and positive.
        rate_all, rate_r2: the same over all layers, and r^2 of that line.
        training_response: T, or None where nothing was trained.
        margin: signed distance to the nearest band edge in units of the response; > 0 exactly when stable.
        flag: "underflow" or "overflow" where R is a clamp, else "".
    """

    gradient_ratio: float
    worst_ratio: float
    rate: float | None
    rate_all: float | None
    rate_r2: float | None
    training_response: float | None
    margin: float
    phase: Phase
    outcome: Outcome
    verdict: Verdict
    flag: Literal["", "underflow", "overflow"]
    tail_loss: float | None

    @property
    def responses(self) -> dict[Response, float | None]:
        """Every response by name; T is None where nothing was trained."""
        return {"R": self.gradient_ratio, "T": self.training_response, "R_worst": self.worst_ratio}


def judge(trajectory: Trajectory, criterion: Criterion) -> Judgement:
    """Phase, outcome, verdict, responses and margin of a trajectory: every trajectory gets exactly one of each."""
    ratio, flag = gradient_ratio(trajectory["log10_delta_norm"][0])
    phase = phase_of(ratio, criterion.ratio_band)
    outcome = outcome_of(trajectory, criterion)
    response = training_response(trajectory, criterion)
    worst = worst_ratio(trajectory)
    rate, _ = layer_rate(trajectory["log10_delta_norm"][0], last_half=True)
    rate_all, r2 = layer_rate(trajectory["log10_delta_norm"][0], last_half=False)
    tail = tail_loss(trajectory)
    return Judgement(
        gradient_ratio=ratio,
        worst_ratio=worst,
        rate=rate,
        rate_all=rate_all,
        rate_r2=r2,
        training_response=response,
        margin=margin_of({"R": ratio, "T": response, "R_worst": worst}, criterion, trajectory.steps),
        phase=phase,
        outcome=outcome,
        verdict=verdict_of(phase, outcome),
        flag=flag,
        tail_loss=tail if tail is not None and math.isfinite(tail) else None,
    )


def gradient_ratio(log10_delta_norm_L: FloatArray) -> tuple[float, Literal["", "underflow", "overflow"]]:
    """R = 1/2 log10(G_1 / G_L) in decades, clamped to [-37, 37], and the flag of the clamp.

    A gradient that is not finite anywhere counts as overflow (+37), one that is exactly zero at the input as
    underflow (-37).
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


def gradient_ratios(trajectory: Trajectory) -> FloatArray:
    """R at every probe time (shape P), NaN where nothing was measured."""
    rows = trajectory["log10_delta_norm"]
    return np.array([math.nan if np.isnan(row).all() else gradient_ratio(row)[0] for row in rows])


def worst_ratio(trajectory: Trajectory) -> float:
    """The R of all probe times that is farthest from 0, the earliest of equals, signed.

    Where a training became non-finite its later gradients are none, which counts as overflow (+37).
    """
    return max((gradient_ratio(row)[0] for row in trajectory["log10_delta_norm"]), key=abs)


def layer_rate(log10_delta_norm_L: FloatArray, *, last_half: bool) -> tuple[float | None, float | None]:
    """lambda = -1/2 d ln G_l / dl by least squares, and r^2 of the line; (None, None) where it is not defined."""
    depth = len(log10_delta_norm_L)
    if depth < MIN_DEPTH_OF_RATE:
        return None, None
    values = log10_delta_norm_L[depth // 2 :] if last_half else log10_delta_norm_L
    if not np.isfinite(values).all():
        return None, None
    layer = np.arange(len(values), dtype=np.float64)
    log_norm = values.astype(np.float64) * math.log(10.0)
    layer -= layer.mean()
    centred = log_norm - log_norm.mean()
    slope = float(layer @ centred / (layer @ layer))
    total = float(centred @ centred)
    r2 = 1.0 if total == 0 else slope**2 * float(layer @ layer) / total
    return -slope, r2


def phase_of(ratio: float, band: float) -> Phase:
    """The gradient phase of a ratio R under the band [-band, band]."""
    if ratio < -band:
        return "vanishing"
    return "stable" if ratio <= band else "exploding"


def nonfinite_step(trajectory: Trajectory) -> int | None:
    """First step at which something was not finite: the one on record, or the first seen in losses and norms."""
    if trajectory.nonfinite_step is not None or trajectory.steps == 0:
        return trajectory.nonfinite_step
    finite_S = np.isfinite(trajectory["loss"]) & np.isfinite(trajectory["grad_norm"])
    return None if finite_S.all() else int(np.argmin(finite_S))


def tail_loss(trajectory: Trajectory) -> float | None:
    """Mean of the last min(20, steps) training losses; None where nothing was trained, NaN where it went non-finite."""
    if trajectory.steps == 0:
        return None
    if nonfinite_step(trajectory) is not None:
        return math.nan
    tail_S = trajectory["loss"][-TAIL_STEPS:]
    return float(np.sum(tail_S / len(tail_S)))  # the sum alone may overflow


def diverged(trajectory: Trajectory) -> bool:
    """Whether loss, gradient norm or a parameter became non-finite, or the tail loss ended 10 times too high."""
    tail = tail_loss(trajectory)
    if tail is None:
        return False
    bound = DIVERGENCE_FACTOR * max(float(trajectory["loss"][0]), trajectory.reference_loss)
    return not tail <= bound


def outcome_of(trajectory: Trajectory, criterion: Criterion) -> Outcome:
    """The training outcome."""
    tail, response = tail_loss(trajectory), training_response(trajectory, criterion)
    if tail is None or response is None:
        return "not_run"
    if diverged(trajectory):
        return "diverged"
    if response < 0:  # a tail loss below the target
        return "trained"
    return "partial" if tail <= UNTRAINED_FRACTION * trajectory.reference_loss else "untrained"


def training_response(trajectory: Trajectory, criterion: Criterion) -> float | None:
    """T = log10(tail loss / target) within [-3, 2]; a divergence at step s of S gives 2 + (1 - s/S)."""
    low, high = TRAINING_RESPONSE_RANGE
    tail = tail_loss(trajectory)
    if tail is None:
        return None
    step = nonfinite_step(trajectory)
    if step is not None:
        return high + 1.0 - step / trajectory.steps
    target = criterion.target_fraction * trajectory.reference_loss
    if not target > 0:  # labels of one class: there is nothing to learn
        return high
    fraction = tail / target
    return min(high, max(low, math.log10(fraction))) if fraction > 0 else low


def margin_of(responses: Mapping[Response, float | None], criterion: Criterion, steps: int) -> float:
    """Least signed distance to a band edge over the responses that count, in units of each."""
    margins = []
    for name in criterion.responses_for(steps):
        value = responses[name]
        if value is None:
            continue
        if name == "T":
            margins.append(-value / TRAINING_RESPONSE_UNIT)
        else:
            margins.append((criterion.ratio_band - abs(value)) / criterion.ratio_band)
    return min(margins)


def verdict_of(phase: Phase, outcome: Outcome) -> Verdict:
    """The label of a phase and an outcome: the first rule of SCIENCE section 4 that holds."""
    if outcome == "not_run":
        return phase
    if outcome == "diverged":
        return "diverged"
    if phase != "stable":
        return "trained_off_phase" if outcome == "trained" else phase
    by_outcome: dict[Outcome, Verdict] = {"trained": "stable", "partial": "partial", "untrained": "untrainable"}
    return by_outcome[outcome]
