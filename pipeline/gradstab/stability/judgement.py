"""Judging a trajectory: phase, outcome, verdict, responses and margin, as pure functions of what was recorded.

Every comparison is written so that NaN lands on the unstable side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gradstab.errors import UsageError
from gradstab.record.trajectory import FloatArray, Trajectory
from gradstab.study.criterion import Criterion, Outcome, Phase, Verdict
from gradstab.study.responses.library.gradient_ratio import Flag, gradient_ratio
from gradstab.study.responses.library.training_response import tail_loss, training_response
from gradstab.study.responses.registry import RESPONSES

DIVERGENCE_FACTOR = 10.0
UNTRAINED_FRACTION = 0.95
MIN_DEPTH_OF_RATE = 4


@dataclass(frozen=True)
class Judgement:
    """What a trajectory means under a criterion.

    Attributes:
        responses: every response by its letter; None where nothing was trained or a statistic was not recorded.
        rate: lambda, half the slope of ln G over the last half of the hidden layers, per layer toward the input;
            None below depth 4 or where gradients are not finite and positive.
        rate_all, rate_r2: the same over all layers, and r^2 of that line.
        margin: signed distance to the nearest band edge, in units of the response; above 0 where every response that
            the criterion counts lies in its band.
        flag: "underflow" or "overflow" where R is a clamp, else "".
    """

    responses: Mapping[str, float | None]
    rate: float | None
    rate_all: float | None
    rate_r2: float | None
    margin: float
    phase: Phase
    outcome: Outcome
    verdict: Verdict
    flag: Flag
    tail_loss: float | None

    @property
    def gradient_ratio(self) -> float:
        """R at initialisation, decades, within [-37, 37]."""
        ratio = self.responses["R"]
        assert ratio is not None
        return ratio

    @property
    def training_response(self) -> float | None:
        """T, or None where nothing was trained."""
        return self.responses["T"]


def judge(trajectory: Trajectory, criterion: Criterion) -> Judgement:
    """Phase, outcome, verdict, responses and margin of a trajectory: every trajectory gets exactly one of each.

    Raises:
        UsageError: the criterion counts a response whose statistics were not recorded.
    """
    ratio, flag = gradient_ratio(trajectory["log10_delta_norm"][0])
    phase = phase_of(ratio, criterion.ratio_band)
    outcome = outcome_of(trajectory, criterion)
    responses = {letter: response.of(trajectory, criterion) for letter, response in RESPONSES.items()}
    if outcome == "not_run":
        responses["T"] = None
    rate, _ = layer_rate(trajectory["log10_delta_norm"][0], last_half=True)
    rate_all, r2 = layer_rate(trajectory["log10_delta_norm"][0], last_half=False)
    tail = tail_loss(trajectory)
    return Judgement(
        responses=responses,
        rate=rate,
        rate_all=rate_all,
        rate_r2=r2,
        margin=margin_of(responses, criterion, trajectory.steps),
        phase=phase,
        outcome=outcome,
        verdict=verdict_of(phase, outcome),
        flag=flag,
        tail_loss=tail if tail is not None and math.isfinite(tail) else None,
    )


def layer_rate(log10_delta_norm_L: FloatArray, *, last_half: bool) -> tuple[float | None, float | None]:
    """lambda = -1/2 d ln G_l / dl by least squares, and r^2 of the line; (None, None) where it is not defined.

    Needs at least four layers, and finite gradients at all of them.
    """
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
    if _is_left_out(trajectory, criterion):
        return "not_run"
    if response < 0:  # a tail loss below the target
        return "trained"
    return "partial" if tail <= UNTRAINED_FRACTION * trajectory.reference_loss else "untrained"


def _is_left_out(trajectory: Trajectory, criterion: Criterion) -> bool:
    """Whether nobody knows which loss counts as trained, and the criterion does not ask."""
    unknown = trajectory.target_loss is None and math.isnan(trajectory.reference_loss)
    return unknown and "T" not in criterion.responses_for(trajectory.steps)


def margin_of(responses: Mapping[str, float | None], criterion: Criterion, steps: int) -> float:
    """The least signed distance to a band edge over the responses that count, in units of each.

    Raises:
        UsageError: a response that counts was not measured.
    """
    margins = []
    for letter in criterion.responses_for(steps):
        response, value = RESPONSES[letter], responses[letter]
        if value is None:
            raise UsageError(
                f"the criterion counts {letter}, but a trial has no {letter}: it was recorded without the statistic "
                f"{' or '.join(response.statistics)}. Choose other responses with --criterion responses=..."
            )
        margins.append(response.margin(value, criterion))
    return min(margins)


def verdict_of(phase: Phase, outcome: Outcome) -> Verdict:
    """The label of a phase and an outcome.

    Without training, or where no loss is known that counts as trained, it is the phase. Else a divergence wins, then a
    trained network, then a phase that is not stable, and a network with stable gradients that did not train is partial
    or untrainable.
    """
    if outcome == "not_run":
        return phase
    if outcome == "diverged":
        return "diverged"
    if phase != "stable":
        return "trained_off_phase" if outcome == "trained" else phase
    by_outcome: dict[Outcome, Verdict] = {"trained": "stable", "partial": "partial", "untrained": "untrainable"}
    return by_outcome[outcome]
