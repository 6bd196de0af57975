"""Plausible results without training: trajectories and records for tests of everything behind the trainer.

Axes: S optimizer step, P probe time, L hidden layer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradstab.loop.trial import trial_seed
from gradstab.record.failure import Failure
from gradstab.record.segments import Record
from gradstab.record.statistics.registry import STATISTICS
from gradstab.record.trajectory import FloatArray, Trajectory
from gradstab.study.axes import Value
from gradstab.study.recipe import Recipe, probe_steps

REFERENCE_LOSS = float(np.log(10.0))
EPOCH_MS = 1_700_000_000_000


class NoTracker:
    """Ships nothing."""

    def notify(self) -> None:
        return

    def waiting(self) -> int:
        return 0

    def last_error(self) -> None:
        return None

    def close(self, patience: float) -> int:
        return 0


def make_trajectory(
    recipe: Recipe,
    *,
    seed: int = 0,
    decades_per_layer: float = 0.0,
    final_loss: float = 0.2,
    nonfinite_step: int | None = None,
) -> Trajectory:
    """A trajectory of the recipe's shape.

    Args:
        decades_per_layer: growth of log10 ||delta|| toward the input; R is about this times (depth - 1).
        final_loss: where the loss settles (nats), from the reference loss at the start.
        nonfinite_step: the step at which training diverges: an infinite loss and gradient norm there, NaN after.
    """
    rng = np.random.default_rng(seed)
    probe_step_P = np.array(probe_steps(recipe), dtype=np.int64)
    num_probes, depth, steps = len(probe_step_P), recipe.depth, recipe.steps
    layer_L = np.arange(depth, dtype=np.float64)
    progress_S = np.arange(steps) / max(1, steps)
    log10_norm_PL = np.tile(-decades_per_layer * (layer_L - depth + 1) - 1.0, (num_probes, 1))
    log10_norm_PL += 0.01 * rng.standard_normal(log10_norm_PL.shape)
    loss_S = final_loss + (REFERENCE_LOSS - final_loss) * np.exp(-8 * progress_S)
    clip_S = np.minimum(1.0, recipe.clip_threshold / (1 + rng.random(steps))) if recipe.clip else np.ones(steps)
    series: dict[str, FloatArray] = {
        "loss": loss_S,
        "grad_norm": 1.0 + rng.random(steps),
        "clip_factor": clip_S,
        "probe_loss": np.interp(probe_step_P / max(1, steps), [0, 1], [REFERENCE_LOSS, final_loss]),
        "accuracy": np.linspace(0.1, 0.9, num_probes),
        "log10_delta_norm": log10_norm_PL,
        "log10_delta_max": log10_norm_PL + 0.5,
        "log10_weight_grad_norm": log10_norm_PL - 0.25,
        "log10_bias_grad_norm": log10_norm_PL - 0.75,
        "log10_activation_ms": np.tile(-0.05 * layer_L, (num_probes, 1)),
        "log10_update_ratio": np.full((num_probes, depth), -3.0),
        "activation_cosine": np.tile(1 - 0.9 ** (layer_L + 1), (num_probes, 1)),
    }
    lengths = {"S": (steps,), "P": (num_probes,), "PL": (num_probes, depth)}
    series = {s.name: series.get(s.name, np.full(lengths[s.axes], 0.125)) for s in STATISTICS.values()}
    if nonfinite_step is not None:
        _diverge(series, probe_step_P, nonfinite_step, steps)
    return Trajectory(
        depth=depth,
        steps=steps,
        reference_loss=REFERENCE_LOSS,
        probe_step_P=probe_step_P,
        series={s.name: series[s.name].astype(s.dtype) for s in STATISTICS.values()},
        nonfinite_step=nonfinite_step,
    )


def make_record(
    number: int,
    *,
    point: dict[str, Value] | None = None,
    failure: str | None = None,
    study_seed: int = 0,
    **trajectory: Any,
) -> Record:
    """A record of trial `number`, finished 10 ms after its predecessor; `trajectory` goes to make_trajectory."""
    point = {"depth": 8, "init_scale": 1.25} if point is None else point
    recipe = Recipe().at(point)
    started_ms = EPOCH_MS + 10 * number
    return Record(
        number=number,
        seed=trial_seed(study_seed, number),
        point=point,
        recipe=recipe.model_dump(),
        device="cpu-0",
        started_ms=started_ms,
        finished_ms=started_ms + 10,
        attempts=1 if failure is None else 3,
        trajectory=None if failure is not None else make_trajectory(recipe, **{"seed": number, **trajectory}),
        failure=None if failure is None else Failure.parse(failure),
    )


def make_mixed_records(count: int, first: int = 0, **point: Value) -> list[Record]:
    """Records that cycle through stable, vanishing, exploding, diverged at once, diverged later, and failed."""
    kinds: list[dict[str, Any]] = [
        {},
        {"decades_per_layer": -0.5, "final_loss": REFERENCE_LOSS},
        {"decades_per_layer": 0.5, "final_loss": 2.0},
        {"nonfinite_step": 0},
        {"nonfinite_step": 37},
        {"failure": "the worker was lost 3 times"},
    ]
    settings: dict[str, Value] = {"depth": 8, "init_scale": 1.25, "activation": "tanh", **point}
    return [make_record(n, point=settings, **kinds[n % len(kinds)]) for n in range(first, first + count)]


def _diverge(series: dict[str, FloatArray], probe_step_P: NDArray[np.int64], step: int, steps: int) -> None:
    series["loss"][step:] = np.nan
    series["grad_norm"][step:] = np.nan
    series["clip_factor"][step:] = np.nan
    if step < steps:
        series["loss"][step] = np.inf
        series["grad_norm"][step] = np.inf
    after = probe_step_P > step
    for name, values in series.items():
        if len(values) == len(probe_step_P) and name not in {"loss", "grad_norm", "clip_factor"}:
            values[after] = np.nan
    reached = int(np.flatnonzero(~after)[-1])
    series["log10_delta_norm"][reached, 0] = np.inf
    series["log10_weight_grad_norm"][reached] = np.inf
    series["log10_bias_grad_norm"][reached] = -np.inf


def without_later_statistics(record: Record) -> Record:
    """The record as a version would have written it that knew no statistic but those that verdicts follow from."""
    assert record.trajectory is not None
    series = {name: array for name, array in record.trajectory.series.items() if STATISTICS[name].required}
    return replace(record, trajectory=replace(record.trajectory, series=series))
